namespace GatedFwa.Tensors.Operations;

/// <summary>Shift, normalisation, then rotation, in double: the contract that <see cref="ShiftNormRotary"/> is held to.</summary>
internal static class ShiftNormRotaryReference
{
    /// <param name="x">[B, T, H, D].</param>
    /// <param name="mix">[B, T, H].</param>
    /// <param name="weight">[H D].</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="segments">Where sequences lie.</param>
    /// <param name="previous">[B, H, D], or none: the token before the first of each row.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="firstPosition">The position of token 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    public static double[] Forward(
        double[] x,
        double[] mix,
        double[] weight,
        Shape shape,
        Segment[] segments,
        double[]? previous,
        double epsilon,
        long firstPosition,
        double frequencyBase)
    {
        double[] shifted = TokenShiftReference.Forward(x, mix, shape, segments, previous);
        return RmsNormRotaryReference.Forward(shifted, weight, shape, epsilon, firstPosition, frequencyBase);
    }

    public static (double[] Dx, double[] Dmix, double[] Dweight) Backward(
        double[] x,
        double[] mix,
        double[] weight,
        double[] dy,
        Shape shape,
        Segment[] segments,
        double[]? previous,
        double epsilon,
        long firstPosition,
        double frequencyBase)
    {
        double[] shifted = TokenShiftReference.Forward(x, mix, shape, segments, previous);
        (double[] dshifted, double[] dweight) =
            RmsNormRotaryReference.Backward(shifted, weight, dy, shape, epsilon, firstPosition, frequencyBase);
        (double[] dx, double[] dmix) = TokenShiftReference.Backward(x, mix, dshifted, shape, segments, previous);
        return (dx, dmix, dweight);
    }
}
