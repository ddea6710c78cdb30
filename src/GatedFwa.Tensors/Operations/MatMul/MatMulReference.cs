namespace GatedFwa.Tensors.Operations;

/// <summary>C = op(A) · op(B) in double: the contract that <see cref="MatMul"/> is held to.</summary>
internal static class MatMulReference
{
    /// <summary>From a [m, k] and b [k, n], each laid out as its transpose where so asked, to [m, n].</summary>
    public static double[] Forward(double[] a, double[] b, int m, int n, int k, bool transposeA, bool transposeB)
    {
        var c = new double[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int p = 0; p < k; p++)
            {
                double factor = a[transposeA ? (p * m) + i : (i * k) + p];
                for (int j = 0; j < n; j++) c[(i * n) + j] += factor * b[transposeB ? (j * k) + p : (p * n) + j];
            }
        }

        return c;
    }

    /// <summary>The gradients, in the layouts of a and b.</summary>
    public static (double[] Da, double[] Db) Backward(
        double[] a, double[] b, double[] dc, int m, int n, int k, bool transposeA, bool transposeB)
    {
        double[] da = new double[a.Length], db = new double[b.Length];
        for (int i = 0; i < m; i++)
        {
            for (int p = 0; p < k; p++)
            {
                int atA = transposeA ? (p * m) + i : (i * k) + p;
                for (int j = 0; j < n; j++)
                {
                    int atB = transposeB ? (j * k) + p : (p * n) + j;
                    da[atA] += dc[(i * n) + j] * b[atB];
                    db[atB] += dc[(i * n) + j] * a[atA];
                }
            }
        }

        return (da, db);
    }
}
