namespace GatedFwa.Training.Comparisons;

/// <summary>What a comparison has shown so far.</summary>
/// <param name="Options">What was compared.</param>
/// <param name="Device">Where, and in which type of activations.</param>
/// <param name="Rows">A row a mixer.</param>
public sealed record ComparisonResult(ComparisonOptions Options, string Device, IReadOnlyList<ComparisonRow> Rows)
{
    /// <summary>Whether every run is finished.</summary>
    public bool Completed => Rows.All(row => row.Measurements.Count == Options.Seeds.Count);

    /// <summary>The runs that failed.</summary>
    public IReadOnlyList<ComparisonOutcome> Failures =>
        [.. Rows.SelectMany(row => row.Outcomes).Where(outcome => outcome.Failure is not null)];
}
