using GatedFwa.Models;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Cli.Commands.Inspect;

/// <summary>Where a line of gradients comes from.</summary>
internal enum GradientOrigin
{
    /// <summary>The model that is inspected.</summary>
    Model,

    /// <summary>Its weights under another attention, which they were not trained with.</summary>
    SameWeights,

    /// <summary>Another trained model.</summary>
    Compared,
}

/// <summary>One line of the page's last picture.</summary>
/// <param name="Name">What it is, in words.</param>
/// <param name="Origin">Where it comes from.</param>
/// <param name="Config">The model that was measured.</param>
/// <param name="Profile">Its numbers.</param>
internal sealed record GradientSeries(string Name, GradientOrigin Origin, ModelConfig Config, GradientProfile Profile);
