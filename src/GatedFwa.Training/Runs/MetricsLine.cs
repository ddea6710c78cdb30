using System.Text.Json.Serialization;

namespace GatedFwa.Training.Runs;

/// <summary>One step, as a line of <c>metrics.jsonl</c>.</summary>
internal sealed record MetricsLine
{
    /// <summary>Steps done.</summary>
    public required int Step { get; init; }

    /// <summary>Mean loss in nats a target.</summary>
    public required double Loss { get; init; }

    public required double LearningRate { get; init; }

    /// <summary>Before clipping; absent for a step in which float16 overflowed and that changed nothing.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? GradientNorm { get; init; }

    public required double TokensPerSecond { get; init; }

    /// <summary>Nats a byte of text held out, or an answer of a task.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ValidationLoss { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ValidationBitsPerByte { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ValidationAccuracy { get; init; }
}
