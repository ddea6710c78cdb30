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

    /// <summary>The latest measurement on what is held out: nats.</summary>
    public double? ValidationLoss { get; init; }

    /// <summary>Of text.</summary>
    public double? ValidationBitsPerByte { get; init; }

    /// <summary>Of a task.</summary>
    public double? ValidationAccuracy { get; init; }

    /// <summary>What the order-3 byte model reaches on text held out.</summary>
    public required double? BaselineBitsPerByte { get; init; }

    /// <summary>Names what is learned from and what is held out.</summary>
    public required string DataFingerprint { get; init; }

    /// <summary>The model.</summary>
    public required ModelConfig Model { get; init; }

    /// <summary>How it is trained.</summary>
    public required TrainerOptions Options { get; init; }

    /// <summary>The latest measurement, if there is one.</summary>
    public ValidationResult? Validation =>
        ValidationLoss is { } loss ? new ValidationResult(loss, ValidationBitsPerByte, ValidationAccuracy) : null;

    /// <summary>The same after a measurement; without one, as it is.</summary>
    public RunState Measured(ValidationResult? measurement) => measurement is not { } measured ? this : this with
    {
        ValidationLoss = measured.Loss,
        ValidationBitsPerByte = measured.BitsPerByte,
        ValidationAccuracy = measured.Accuracy,
    };
}
