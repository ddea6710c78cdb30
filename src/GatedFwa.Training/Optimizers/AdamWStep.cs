namespace GatedFwa.Training.Optimizers;

/// <summary>The constants of one step, so that a kernel does nothing but multiply and add.</summary>
/// <param name="GradientScale">Multiplies the gradient.</param>
/// <param name="MeanDecay">β₁.</param>
/// <param name="SquareDecay">β₂.</param>
/// <param name="Keep">1 − learning rate · λ: what weight decay leaves of a value.</param>
/// <param name="StepSize">learning rate / (1 − β₁ᵗ).</param>
/// <param name="RootCorrection">1 / √(1 − β₂ᵗ).</param>
/// <param name="Epsilon">ε.</param>
internal readonly record struct AdamWStep(
    float GradientScale, float MeanDecay, float SquareDecay, float Keep, float StepSize, float RootCorrection, float Epsilon)
{
    /// <summary>The constants of step t, counted from 1.</summary>
    public static AdamWStep At(long t, AdamWOptions options, float learningRate, float gradientScale, bool decays) => new(
        gradientScale,
        options.MeanDecay,
        options.SquareDecay,
        decays ? (float)(1 - ((double)learningRate * options.WeightDecay)) : 1,
        (float)(learningRate / (1 - Math.Pow(options.MeanDecay, t))),
        (float)(1 / Math.Sqrt(1 - Math.Pow(options.SquareDecay, t))),
        options.Epsilon);
}
