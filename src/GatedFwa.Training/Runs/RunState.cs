using GatedFwa.Models;

namespace GatedFwa.Training.Runs;

/// <summary>
/// Everything about a run at a checkpoint but its numbers: <c>training_state.json</c>, and the metadata of
/// <c>training_state.safetensors</c>.
/// </summary>
internal sealed record RunState
{
    /// <summary>Steps done.</summary>
    public required int Step { get; init; }

    /// <summary>Seconds spent so far.</summary>
    public required double ElapsedSeconds { get; init; }

    /// <summary>The length of <c>metrics.jsonl</c> at this step.</summary>
    public required long MetricsBytes { get; init; }

    /// <summary>The latest measurement on the validation split.</summary>
    public double? ValidationBitsPerByte { get; init; }

    /// <summary>What the order-3 byte model reaches there.</summary>
    public required double BaselineBitsPerByte { get; init; }

    /// <summary>Names the text of both splits.</summary>
    public required string DataFingerprint { get; init; }

    /// <summary>The model.</summary>
    public required ModelConfig Model { get; init; }

    /// <summary>How it is trained.</summary>
    public required TrainerOptions Options { get; init; }
}
