using GatedFwa.Models;

namespace GatedFwa.Training.Comparisons;

/// <summary>Which mixers are compared, and how each of them is trained.</summary>
public sealed record ComparisonOptions
{
    /// <summary>The mixers; the order is that of the table.</summary>
    public IReadOnlyList<Mixer> Mixers { get; init; } = Mixer.All;

    /// <summary>The seeds: each mixer is trained once with each. A seed names the weights and the order of the text.</summary>
    public IReadOnlyList<ulong> Seeds { get; init; } = [0];

    /// <summary>The model, in which each mixer takes its place; a window of it is that of all mixers that have one.</summary>
    public required ModelConfig Model { get; init; }

    /// <summary>
    /// How each of them is trained, in <see cref="TrainerOptions.Output"/> as the folder of the comparison;
    /// <see cref="TrainerOptions.Seed"/> is not used, and every model is measured on the same contexts
    /// (<see cref="TrainerOptions.EvaluateByContext"/>).
    /// </summary>
    public required TrainerOptions Training { get; init; }

    /// <summary>A line about the machine, for the table and for what is measured now; it changes nothing.</summary>
    public string? Machine { get; init; }
}
