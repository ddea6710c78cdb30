using GatedFwa.Models;

namespace GatedFwa.Training.Comparisons;

/// <summary>What a comparison was begun with: <c>comparison.json</c>.</summary>
internal sealed record ComparisonSettings
{
    /// <summary>The names of the mixers; more may be added later.</summary>
    public required IReadOnlyList<string> Mixers { get; init; }

    /// <summary>The seeds; more may be added later.</summary>
    public required IReadOnlyList<ulong> Seeds { get; init; }

    /// <summary>The device: times and memory of two are not comparable.</summary>
    public required string Device { get; init; }

    /// <summary>The type of activations.</summary>
    public required string Activations { get; init; }

    /// <summary>Names the text of both splits.</summary>
    public required string DataFingerprint { get; init; }

    /// <summary>The model that each mixer takes its place in.</summary>
    public required ModelConfig Model { get; init; }

    /// <summary>How each of them is trained.</summary>
    public required TrainerOptions Training { get; init; }
}
