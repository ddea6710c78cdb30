namespace GatedFwa.Tensors.Operations;

/// <summary>y = 1 / (1 + e^−x) of a run of columns in double: the contract that <see cref="Sigmoid"/> is held to.</summary>
internal static class SigmoidReference
{
    /// <summary>[rows, n] of x [rows, C].</summary>
    public static double[] Forward(double[] x, ColumnRun run) =>
        [.. Enumerable.Range(0, run.Rows * run.Count).Select(i => 1 / (1 + Math.Exp(-x[Source(i, run)])))];

    /// <summary>The gradient of x [rows, C]; 0 in columns that were not taken.</summary>
    public static double[] Backward(double[] x, double[] dy, ColumnRun run)
    {
        double[] y = Forward(x, run);
        var dx = new double[x.Length];
        for (int i = 0; i < y.Length; i++) dx[Source(i, run)] = dy[i] * y[i] * (1 - y[i]);
        return dx;
    }

    private static int Source(int i, ColumnRun run) => (i / run.Count * run.Width) + run.First + (i % run.Count);
}
