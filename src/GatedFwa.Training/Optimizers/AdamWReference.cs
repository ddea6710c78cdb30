namespace GatedFwa.Training.Optimizers;

/// <summary>
/// AdamW in double, as the paper writes it (algorithm 2 of arXiv 1711.05101): the contract that <see cref="AdamW"/> is held to.
/// </summary>
internal static class AdamWReference
{
    public static void Step(
        long t, AdamWOptions options, double learningRate, double gradientScale, bool decays, double[] value, double[] gradient, double[] mean, double[] square)
    {
        for (int i = 0; i < value.Length; i++)
        {
            double g = gradient[i] * gradientScale;
            mean[i] = (options.MeanDecay * mean[i]) + ((1 - (double)options.MeanDecay) * g);
            square[i] = (options.SquareDecay * square[i]) + ((1 - (double)options.SquareDecay) * g * g);
            double correctedMean = mean[i] / (1 - Math.Pow(options.MeanDecay, t));
            double correctedSquare = square[i] / (1 - Math.Pow(options.SquareDecay, t));
            double decay = decays ? options.WeightDecay * value[i] : 0;
            value[i] -= learningRate * ((correctedMean / (Math.Sqrt(correctedSquare) + options.Epsilon)) + decay);
        }
    }
}
