namespace GatedFwa.Attention;

/// <summary>A query of native sparse attention.</summary>
/// <param name="Blocks">Its document.</param>
/// <param name="Token">Its place in the document.</param>
/// <param name="Index">Its place among the T queries.</param>
/// <param name="Head">The query head.</param>
/// <param name="KeyHead">The key head that it reads.</param>
internal readonly record struct SparseQuery(SegmentBlocks Blocks, int Token, int Index, int Head, int KeyHead)
{
    /// <summary>The row of the batch.</summary>
    public int Batch => Blocks.Segment.Batch;

    /// <summary>All queries of all heads.</summary>
    public static IEnumerable<SparseQuery> All(NativeSparseProblem problem)
    {
        foreach (SegmentBlocks blocks in problem.Blocks.Segments)
        {
            (int first, int end) = problem.Queries(blocks);
            for (int token = first; token < end; token++)
            {
                int index = blocks.Segment.Start + token - problem.FirstQuery;
                for (int head = 0; head < problem.Shape.Heads; head++)
                    yield return new SparseQuery(blocks, token, index, head, head * problem.Shape.KeyHeads / problem.Shape.Heads);
            }
        }
    }
}

/// <summary>
/// Softmax attention in double of every query to a list of keys of its own: what <see cref="CompressedAttention"/> and
/// <see cref="SelectedAttention"/> have in common.
/// </summary>
internal static class ListedAttentionReference
{
    /// <summary>o [B, T, H, D] and lse [B, H, T].</summary>
    /// <param name="problem">The extents.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">[B, rows, Hkv, D].</param>
    /// <param name="v">[B, rows, Hkv, D].</param>
    /// <param name="keys">The rows of k and v that a query sees, counted through all rows of the batch.</param>
    public static (double[] O, double[] Lse) Forward(
        NativeSparseProblem problem, double[] q, double[] k, double[] v, Func<SparseQuery, IEnumerable<int>> keys)
    {
        var o = new double[problem.Shape.QueryCount];
        var lse = new double[problem.Shape.LseCount];
        Array.Fill(lse, double.NegativeInfinity);
        foreach (SparseQuery query in SparseQuery.All(problem))
        {
            (int[] rows, double[] p, double logSum) = Probabilities(problem, query, q, k, keys);
            if (rows.Length == 0) continue;
            lse[LseIndex(problem, query)] = logSum;
            int target = Row(problem, query);
            for (int n = 0; n < rows.Length; n++)
            {
                for (int d = 0; d < problem.Shape.HeadSize; d++) o[target + d] += p[n] * v[rows[n] + d];
            }
        }

        return (o, lse);
    }

    /// <summary>The gradients of q, k and v, given that of o.</summary>
    public static (double[] Dq, double[] Dk, double[] Dv) Backward(
        NativeSparseProblem problem, double[] q, double[] k, double[] v, double[] dO, Func<SparseQuery, IEnumerable<int>> keys)
    {
        double[] dq = new double[q.Length], dk = new double[k.Length], dv = new double[v.Length];
        foreach (SparseQuery query in SparseQuery.All(problem))
        {
            (int[] rows, double[] p, _) = Probabilities(problem, query, q, k, keys);
            int row = Row(problem, query);
            var dp = new double[p.Length];
            for (int n = 0; n < rows.Length; n++)
            {
                for (int d = 0; d < problem.Shape.HeadSize; d++)
                {
                    dp[n] += dO[row + d] * v[rows[n] + d];
                    dv[rows[n] + d] += p[n] * dO[row + d];
                }
            }

            double delta = p.Zip(dp, (weight, gradient) => weight * gradient).Sum();
            for (int n = 0; n < rows.Length; n++)
            {
                double ds = problem.Scale * p[n] * (dp[n] - delta);
                for (int d = 0; d < problem.Shape.HeadSize; d++)
                {
                    dq[row + d] += ds * k[rows[n] + d];
                    dk[rows[n] + d] += ds * q[row + d];
                }
            }
        }

        return (dq, dk, dv);
    }

    /// <summary>Where a query lies in lse.</summary>
    public static int LseIndex(NativeSparseProblem problem, SparseQuery query) =>
        (((query.Batch * problem.Shape.Heads) + query.Head) * problem.Shape.Tokens) + query.Index;

    /// <summary>Where its row begins in q and o.</summary>
    public static int Row(NativeSparseProblem problem, SparseQuery query) =>
        ((((query.Batch * problem.Shape.Tokens) + query.Index) * problem.Shape.Heads) + query.Head) * problem.Shape.HeadSize;

    private static (int[] Rows, double[] P, double LogSum) Probabilities(
        NativeSparseProblem problem, SparseQuery query, double[] q, double[] k, Func<SparseQuery, IEnumerable<int>> keys)
    {
        int size = problem.Shape.HeadSize, from = Row(problem, query);
        int[] rows = [.. keys(query).Select(row => ((row * problem.Shape.KeyHeads) + query.KeyHead) * size)];
        if (rows.Length == 0) return ([], [], double.NegativeInfinity);
        double[] scores = [.. rows.Select(row => problem.Scale * Enumerable.Range(0, size).Sum(d => q[from + d] * k[row + d]))];
        double max = scores.Max(), logSum = max + Math.Log(scores.Sum(score => Math.Exp(score - max)));
        return (rows, [.. scores.Select(score => Math.Exp(score - logSum))], logSum);
    }
}
