using GatedFwa.Models;

namespace GatedFwa.Training.Comparisons;

/// <summary>What one mixer has shown.</summary>
/// <param name="Mixer">The mixer.</param>
/// <param name="Outcomes">Its runs that were tried so far, in the order of seeds.</param>
public sealed record ComparisonRow(Mixer Mixer, IReadOnlyList<ComparisonOutcome> Outcomes)
{
    /// <summary>What was measured of those that are finished.</summary>
    public IReadOnlyList<RunMeasurement> Measurements { get; } =
        [.. Outcomes.Select(outcome => outcome.Measurement).OfType<RunMeasurement>()];

    /// <summary>A figure over the seeds that are finished; null where none is.</summary>
    /// <param name="figure">The figure of one run; one that is missing is left out.</param>
    public SeedStatistics? Over(Func<RunMeasurement, double?> figure) =>
        SeedStatistics.Of([.. Measurements.Select(figure).OfType<double>()]);
}
