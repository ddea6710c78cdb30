namespace GatedFwa.Testing;

/// <summary>How far a result is from its reference: the measure of docs/precision.md.</summary>
public static class ErrorNorm
{
    /// <summary>
    /// ‖actual − expected‖ / ‖expected‖, absolute where the expected norm is zero. NaN gives +∞: it must fail every tolerance.
    /// </summary>
    public static double Relative(ReadOnlySpan<float> actual, ReadOnlySpan<double> expected)
    {
        if (actual.Length != expected.Length) throw new ArgumentException($"Compared {actual.Length} values with {expected.Length}.");
        double difference = 0, norm = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            // Equal infinities (the lse of a row that sees nothing) differ by nothing and have no norm.
            if (double.IsInfinity(expected[i]) && actual[i] == expected[i]) continue;
            double d = actual[i] - expected[i];
            if (!double.IsFinite(d)) return double.PositiveInfinity;
            difference += d * d;
            norm += expected[i] * expected[i];
        }

        return norm == 0 ? Math.Sqrt(difference) : Math.Sqrt(difference / norm);
    }

    /// <inheritdoc cref="Relative(ReadOnlySpan{float}, ReadOnlySpan{double})"/>
    public static double Relative(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        var wide = new double[expected.Length];
        for (int i = 0; i < wide.Length; i++) wide[i] = expected[i];
        return Relative(actual, wide);
    }

    /// <summary>
    /// Throws unless the result is within the tolerance and a result of zeros would not be: a comparison that cannot fail is none.
    /// </summary>
    public static void Require(ReadOnlySpan<float> actual, ReadOnlySpan<double> expected, double tolerance)
    {
        double error = Relative(actual, expected);
        if (error > tolerance) throw new InvalidOperationException($"The error is {error:g3}; at most {tolerance:g3} is allowed.");
        if (Relative(new float[expected.Length], expected) <= tolerance)
            throw new InvalidOperationException("The reference is zero: this comparison could not fail.");
    }
}
