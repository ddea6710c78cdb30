namespace GatedFwa.Tensors.Operations;

/// <summary>Normalisation, then rotation, in double: the contract that <see cref="RmsNormRotary"/> is held to.</summary>
internal static class RmsNormRotaryReference
{
    /// <param name="x">[B, T, H, D].</param>
    /// <param name="weight">[H D].</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="firstPosition">The position of token 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    public static double[] Forward(
        double[] x, double[] weight, Shape shape, double epsilon, long firstPosition, double frequencyBase) =>
        RotaryReference.Forward(RmsNormReference.Forward(x, weight, epsilon), shape, firstPosition, frequencyBase);

    public static (double[] Dx, double[] Dweight) Backward(
        double[] x, double[] weight, double[] dy, Shape shape, double epsilon, long firstPosition, double frequencyBase) =>
        RmsNormReference.Backward(x, weight, RotaryReference.Backward(dy, shape, firstPosition, frequencyBase), epsilon);
}
