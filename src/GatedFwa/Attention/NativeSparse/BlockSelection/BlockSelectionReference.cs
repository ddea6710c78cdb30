namespace GatedFwa.Attention;

/// <summary>The choice of blocks in double: the contract of <see cref="BlockSelection"/>.</summary>
internal static class BlockSelectionReference
{
    /// <summary>Indices [B, Hkv, T, n].</summary>
    public static int[] Select(NativeSparseProblem problem, double[] q, double[] pooledK, double[] lse)
    {
        var indices = new int[problem.IndicesShape.Count];
        Array.Fill(indices, -1);
        foreach (IGrouping<int, SparseQuery> group in SparseQuery.All(problem).GroupBy(query => IndicesRow(problem, query)))
        {
            double[] importance = Importance(problem, [.. group], q, pooledK, lse);
            int[] chosen = [.. importance.Index().OrderByDescending(block => block.Item).Select(block => block.Index)];
            int kept = Math.Min(problem.BlockCount, chosen.Length);
            Array.Sort(chosen, 0, kept); // OrderByDescending is stable: of equals the lower number came first.
            chosen.AsSpan(0, kept).CopyTo(indices.AsSpan(group.Key));
        }

        return indices;
    }

    /// <summary>Where the choice of a query begins in the indices.</summary>
    public static int IndicesRow(NativeSparseProblem problem, SparseQuery query) =>
        ((((query.Batch * problem.Shape.KeyHeads) + query.KeyHead) * problem.Shape.Tokens) + query.Index) * problem.BlockCount;

    /// <summary>What each block 0 … own block counts; infinite for those that come before all others.</summary>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="group">One query in all heads that share a key head.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="pooledK">[B, C, Hkv, D].</param>
    /// <param name="lse">[B, H, T].</param>
    public static double[] Importance(NativeSparseProblem problem, SparseQuery[] group, double[] q, double[] pooledK, double[] lse)
    {
        int size = problem.Shape.HeadSize, own = group[0].Blocks.Own(group[0].Token);
        var importance = new double[own + 1];
        foreach (SparseQuery query in group)
        {
            int row = ListedAttentionReference.Row(problem, query);
            double logSum = lse[ListedAttentionReference.LseIndex(problem, query)];
            for (int block = 0; block < own; block++)
            {
                int pooled = (query.Batch * problem.Blocks.PooledRows) + query.Blocks.FirstPooled + block;
                int key = ((pooled * problem.Shape.KeyHeads) + query.KeyHead) * size;
                double dot = Enumerable.Range(0, size).Sum(d => q[row + d] * pooledK[key + d]);
                importance[block] += Math.Exp((problem.Scale * dot) - logSum);
            }
        }

        // No sum of probabilities reaches these: first the own block, then the one before, then the document's first.
        foreach ((int rank, int block) in new[] { (1, 0), (2, own - 1), (3, own) })
        {
            if (block >= 0) importance[block] = rank * 1e300 / 4;
        }

        return importance;
    }
}
