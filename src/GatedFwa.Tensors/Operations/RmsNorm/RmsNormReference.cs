namespace GatedFwa.Tensors.Operations;

/// <summary>Root-mean-square normalisation in double: the contract that <see cref="RmsNorm"/> is held to.</summary>
internal static class RmsNormReference
{
    /// <param name="x">[rows, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    public static double[] Forward(double[] x, double[] weight, double epsilon)
    {
        int width = weight.Length;
        var y = new double[x.Length];
        for (int row = 0; row < x.Length; row += width)
        {
            double scale = Scale(x, row, width, epsilon);
            for (int c = 0; c < width; c++) y[row + c] = x[row + c] * scale * weight[c];
        }

        return y;
    }

    public static (double[] Dx, double[] Dweight) Backward(double[] x, double[] weight, double[] dy, double epsilon)
    {
        int width = weight.Length;
        var dx = new double[x.Length];
        var dweight = new double[width];
        for (int row = 0; row < x.Length; row += width)
        {
            double scale = Scale(x, row, width, epsilon);
            double projection = 0;
            for (int c = 0; c < width; c++) projection += dy[row + c] * weight[c] * x[row + c];
            for (int c = 0; c < width; c++)
            {
                dx[row + c] = (scale * dy[row + c] * weight[c]) - (x[row + c] * scale * scale * scale * projection / width);
                dweight[c] += dy[row + c] * x[row + c] * scale;
            }
        }

        return (dx, dweight);
    }

    private static double Scale(double[] x, int row, int width, double epsilon)
    {
        double squares = 0;
        for (int c = 0; c < width; c++) squares += x[row + c] * x[row + c];
        return 1 / Math.Sqrt((squares / width) + epsilon);
    }
}
