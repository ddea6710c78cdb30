namespace GatedFwa.Tensors.Operations;

/// <summary>Rotary position embedding in double: the contract that <see cref="Rotary"/> is held to.</summary>
internal static class RotaryReference
{
    /// <summary>(x₁, x₂) → (x₁ cos − x₂ sin, x₂ cos + x₁ sin), x₁ and x₂ the halves of a head, angle = position · base^(−2j/D).</summary>
    /// <param name="x">[B, T, H, D].</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="firstPosition">The position of token 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    public static double[] Forward(double[] x, Shape shape, long firstPosition, double frequencyBase) =>
        Rotate(x, shape, firstPosition, frequencyBase, 1);

    /// <summary>A rotation's gradient turns back.</summary>
    public static double[] Backward(double[] dy, Shape shape, long firstPosition, double frequencyBase) =>
        Rotate(dy, shape, firstPosition, frequencyBase, -1);

    private static double[] Rotate(double[] x, Shape shape, long firstPosition, double frequencyBase, int direction)
    {
        int tokens = shape[1], heads = shape[2], size = shape[3], half = size / 2;
        var y = new double[x.Length];
        for (int row = 0; row < shape[0] * tokens * heads; row++)
        {
            long position = firstPosition + (row / heads % tokens);
            for (int j = 0; j < half; j++)
            {
                (double sin, double cos) = Math.SinCos(position * Math.Pow(frequencyBase, -2.0 * j / size));
                (double x1, double x2) = (x[(row * size) + j], x[(row * size) + half + j]);
                y[(row * size) + j] = (x1 * cos) - (direction * x2 * sin);
                y[(row * size) + half + j] = (x2 * cos) + (direction * x1 * sin);
            }
        }

        return y;
    }
}
