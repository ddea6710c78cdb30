namespace GatedFwa.Training;

/// <summary>What several measurements of one thing say.</summary>
internal static class Statistics
{
    /// <summary>The standard deviation of one value, estimated from all of them (n − 1); null of fewer than two.</summary>
    public static double? Deviation(IReadOnlyList<double> values)
    {
        if (values.Count < 2) return null;
        double mean = values.Average();
        return Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Count - 1));
    }

    /// <summary>The value in the middle, or the mean of the two.</summary>
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
