namespace GatedFwa.Tensors.Operations;

/// <summary>Some rows of a matrix in double: the contract that <see cref="SelectRows"/> is held to.</summary>
internal static class SelectRowsReference
{
    public static double[] Forward(double[] x, int[] rows, int width) => [.. rows.SelectMany(row => x.Skip(row * width).Take(width))];

    public static double[] Backward(int[] rows, double[] dy, int count, int width)
    {
        var dx = new double[count * width];
        for (int i = 0; i < rows.Length; i++)
        {
            for (int c = 0; c < width; c++) dx[(rows[i] * width) + c] += dy[(i * width) + c];
        }

        return dx;
    }
}
