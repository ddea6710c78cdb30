namespace GatedFwa.Training.Comparisons;

/// <summary>One figure over several seeds.</summary>
/// <param name="Mean">The mean.</param>
/// <param name="Deviation">The standard deviation of one seed, estimated from them (n − 1); null of a single one.</param>
public readonly record struct SeedStatistics(double Mean, double? Deviation)
{
    internal static SeedStatistics? Of(IReadOnlyList<double> values) =>
        values.Count == 0 ? null : new(values.Average(), Statistics.Deviation(values));
}
