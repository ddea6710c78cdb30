using System.Text.Json.Serialization;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Training.Comparisons;

/// <summary>What a finished run of a comparison has shown: <c>measurement.json</c> in its folder.</summary>
public sealed record RunMeasurement
{
    /// <summary>Learned numbers of the model.</summary>
    public required long Parameters { get; init; }

    /// <summary>Nats a byte of the text held out, each context by itself.</summary>
    public required double Loss { get; init; }

    /// <summary>The same over the last quarter of the context; null where that text is too short to reach it.</summary>
    public required double? LastQuarterLoss { get; init; }

    /// <summary>The same in sixteen parts of the context.</summary>
    public required IReadOnlyList<PositionBucket> Positions { get; init; }

    /// <summary>Speed of the median step; evaluations are no steps.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>Seconds of training: as many median steps as there were, so that compiling kernels, or another program that came
    /// between, does not count.</summary>
    public required double Seconds { get; init; }

    /// <summary>The validation loss in the course of training.</summary>
    public required IReadOnlyList<CurvePoint> Curve { get; init; }

    /// <summary>
    /// The most bytes of its device that a training step holds at once: weights, gradients, moments, activations, and on the CPU the
    /// scratch of one thread.
    /// </summary>
    public required long StepBytes { get; init; }

    /// <summary>How much a decoder remembers of one text.</summary>
    public required DecodeStateSize DecodeState { get; init; }

    /// <summary>The machine it was measured on, as <see cref="ComparisonOptions.Machine"/> told it then.</summary>
    public string? Machine { get; init; }

    /// <summary>The validation loss in bits a byte.</summary>
    [JsonIgnore]
    public double BitsPerByte => Loss / Math.Log(2);
}
