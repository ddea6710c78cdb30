namespace GatedFwa.Training.Comparisons;

/// <summary>One figure over several seeds.</summary>
/// <param name="Mean">The mean.</param>
/// <param name="Deviation">The standard deviation of one seed, estimated from them (n − 1); null of a single one.</param>
public readonly record struct SeedStatistics(double Mean, double? Deviation)
{
    internal static SeedStatistics? Of(IReadOnlyList<double> values)
    {
        if (values.Count == 0) return null;
        double mean = values.Average();
        return new(mean, values.Count == 1 ? null : Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Count - 1)));
    }
}
