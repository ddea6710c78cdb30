namespace GatedFwa.Testing;

/// <summary>Central differences in double: holds the backward pass of a double reference to its forward pass.</summary>
public static class GradientCheck
{
    /// <summary>
    /// The largest deviation of an analytic gradient from central differences, relative to the gradient's largest element.
    /// </summary>
    /// <param name="input">The input; restored afterwards.</param>
    /// <param name="loss">The scalar, read from the input as it then is.</param>
    /// <param name="gradient">The analytic gradient to check.</param>
    /// <param name="samples">How many elements to try (all, where there are fewer).</param>
    /// <param name="step">Half the distance of the two evaluations.</param>
    public static double WorstDeviation(double[] input, Func<double> loss, double[] gradient, int samples = 40, double step = 1e-5)
    {
        if (gradient.Length != input.Length)
            throw new ArgumentException($"A gradient of {gradient.Length} elements for {input.Length} inputs.");
        double largest = Math.Max(1e-6, gradient.Max(Math.Abs));
        double worst = 0;
        int stride = Math.Max(1, input.Length / samples);
        for (int i = 0; i < input.Length; i += stride)
        {
            double original = input[i];
            input[i] = original + step;
            double above = loss();
            input[i] = original - step;
            double below = loss();
            input[i] = original;
            double deviation = Math.Abs((above - below) / (2 * step) - gradient[i]) / largest;
            worst = double.IsNaN(deviation) ? double.PositiveInfinity : Math.Max(worst, deviation);
        }

        return worst;
    }
}
