namespace GatedFwa.Tensors.Operations;

/// <summary>The shift in double: the contract that <see cref="TokenShift"/> is held to.</summary>
internal static class TokenShiftReference
{
    /// <param name="x">[B, T, H, D].</param>
    /// <param name="mix">[B, T, H].</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="segments">Where sequences lie.</param>
    /// <param name="previous">[B, H, D], or none: the token before the first of each row.</param>
    public static double[] Forward(double[] x, double[] mix, Shape shape, Segment[] segments, double[]? previous)
    {
        var y = new double[x.Length];
        Walk(mix, shape, segments, (gate, row, d, t) =>
        {
            int i = (row * shape[3]) + d;
            y[i] = (gate * x[i]) + ((1 - gate) * Before(x, previous, shape, row, d, t));
        });
        return y;
    }

    public static (double[] Dx, double[] Dmix) Backward(
        double[] x, double[] mix, double[] dy, Shape shape, Segment[] segments, double[]? previous)
    {
        var dx = new double[x.Length];
        var dmix = new double[mix.Length];
        Walk(mix, shape, segments, (gate, row, d, t) =>
        {
            int i = (row * shape[3]) + d;
            dx[i] += gate * dy[i];
            if (t > 0) dx[i - (shape[2] * shape[3])] += (1 - gate) * dy[i];
            dmix[row] += gate * (1 - gate) * dy[i] * (x[i] - Before(x, previous, shape, row, d, t));
        });
        return (dx, dmix);
    }

    /// <summary>
    /// Visits every element inside a segment: the sigmoid of its mix, its [B·T·H] row, its column, its position in the segment.
    /// </summary>
    private static void Walk(double[] mix, Shape shape, Segment[] segments, Action<double, int, int, int> visit)
    {
        foreach (Segment segment in segments)
        {
            for (int t = 0; t < segment.Length; t++)
            {
                for (int head = 0; head < shape[2]; head++)
                {
                    int row = (((segment.Batch * shape[1]) + segment.Start + t) * shape[2]) + head;
                    for (int d = 0; d < shape[3]; d++) visit(1 / (1 + Math.Exp(-mix[row])), row, d, t);
                }
            }
        }
    }

    private static double Before(double[] x, double[]? previous, Shape shape, int row, int d, int t)
    {
        int heads = shape[2], size = shape[3];
        if (t > 0) return x[((row - heads) * size) + d];
        int batch = row / (shape[1] * heads);
        return previous?[(((batch * heads) + (row % heads)) * size) + d] ?? 0;
    }
}
