using GatedFwa.Training;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>One timed sample.</summary>
/// <param name="Value">What was measured, in the row's unit.</param>
/// <param name="Limit">What the machine could do at that moment, in the same unit; none where there is no such limit.</param>
internal readonly record struct Sample(double Value, double? Limit = null);

/// <summary>What one line of a report says: several samples of one thing.</summary>
/// <param name="What">What was measured.</param>
/// <param name="Threads">How many threads worked; 0 on a GPU.</param>
/// <param name="Unit">The unit of the values.</param>
/// <param name="Samples">At least one sample.</param>
internal sealed record Row(string What, int Threads, string Unit, IReadOnlyList<Sample> Samples)
{
    /// <summary>Whether the values are times, of which the limit is the shortest.</summary>
    public bool LessIsBetter { get; init; }

    public double Median => Statistics.Median(Samples.Select(sample => sample.Value));

    public double Min => Samples.Min(sample => sample.Value);

    public double Max => Samples.Max(sample => sample.Value);

    /// <summary>The median of what the machine could do beside each sample.</summary>
    public double? Limit => Samples[0].Limit is null ? null : Statistics.Median(Samples.Select(sample => sample.Limit!.Value));

    /// <summary>How much of the limit beside it each sample reached, the worst first; none where there is no limit.</summary>
    public IReadOnlyList<double>? Shares => Samples[0].Limit is null ? null : [.. Samples.Select(Share).Order()];

    public double? MedianShare => Shares is { } shares ? Statistics.Median(shares) : null;

    private double Share(Sample sample) => LessIsBetter ? sample.Limit!.Value / sample.Value : sample.Value / sample.Limit!.Value;
}
