namespace GatedFwa.Attention;

/// <summary>The mean of each complete block in double: the contract that <see cref="BlockPooling"/> is held to.</summary>
internal static class BlockPoolingReference
{
    /// <summary>[B, C, Hkv, D] of x [B, S, Hkv, D].</summary>
    public static double[] Forward(NativeSparseProblem problem, double[] x)
    {
        var pooled = new double[problem.PooledShape.Count];
        ForEachElement(problem, (from, to) => pooled[to] += x[from] / problem.BlockSize);
        return pooled;
    }

    /// <summary>The gradient of x, given that of the result.</summary>
    public static double[] Backward(NativeSparseProblem problem, double[] dPooled)
    {
        var dx = new double[problem.Shape.KeyCount];
        ForEachElement(problem, (from, to) => dx[from] += dPooled[to] / problem.BlockSize);
        return dx;
    }

    private static void ForEachElement(NativeSparseProblem problem, Action<long, long> act)
    {
        int row = problem.Shape.KeyHeads * problem.Shape.HeadSize;
        foreach (SegmentBlocks blocks in problem.Blocks.Segments)
        {
            for (int token = 0; token < blocks.Complete * blocks.Size; token++)
            {
                long from = ((long)blocks.Segment.Batch * problem.Shape.Positions) + blocks.Segment.Start + token;
                long to = ((long)blocks.Segment.Batch * problem.Blocks.PooledRows) + blocks.FirstPooled + blocks.Own(token);
                for (int d = 0; d < row; d++) act((from * row) + d, (to * row) + d);
            }
        }
    }
}
