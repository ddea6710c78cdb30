namespace GatedFwa.Tensors.Operations;

/// <summary>y = x Wᵀ + b in double: the contract that <see cref="Linear"/> is held to.</summary>
internal static class LinearReference
{
    /// <summary>From x [rows, k], weight [n, k] and bias [n] or none to [rows, n].</summary>
    public static double[] Forward(double[] x, double[] weight, double[]? bias, int rows, int n, int k)
    {
        var y = new double[rows * n];
        for (int row = 0; row < rows; row++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = bias is null ? 0 : bias[j];
                for (int i = 0; i < k; i++) sum += x[(row * k) + i] * weight[(j * k) + i];
                y[(row * n) + j] = sum;
            }
        }

        return y;
    }

    public static (double[] Dx, double[] Dweight, double[] Dbias) Backward(double[] x, double[] weight, double[] dy, int rows, int n, int k)
    {
        double[] dx = new double[rows * k], dweight = new double[n * k], dbias = new double[n];
        for (int row = 0; row < rows; row++)
        {
            for (int j = 0; j < n; j++)
            {
                double d = dy[(row * n) + j];
                dbias[j] += d;
                for (int i = 0; i < k; i++)
                {
                    dx[(row * k) + i] += d * weight[(j * k) + i];
                    dweight[(j * k) + i] += d * x[(row * k) + i];
                }
            }
        }

        return (dx, dweight, dbias);
    }
}
