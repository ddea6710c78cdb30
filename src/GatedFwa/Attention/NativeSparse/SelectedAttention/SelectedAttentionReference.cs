namespace GatedFwa.Attention;

/// <summary>Attention to the tokens of chosen blocks in double: the contract of <see cref="SelectedAttention"/>.</summary>
internal static class SelectedAttentionReference
{
    /// <summary>o [B, T, H, D] and lse [B, H, T].</summary>
    public static (double[] O, double[] Lse) Forward(NativeSparseProblem problem, double[] q, double[] k, double[] v, int[] indices) =>
        ListedAttentionReference.Forward(problem, q, k, v, query => Rows(problem, query, indices));

    /// <summary>The gradients of q, k and v, given that of o.</summary>
    public static (double[] Dq, double[] Dk, double[] Dv) Backward(
        NativeSparseProblem problem, double[] q, double[] k, double[] v, int[] indices, double[] dO) =>
        ListedAttentionReference.Backward(problem, q, k, v, dO, query => Rows(problem, query, indices));

    private static IEnumerable<int> Rows(NativeSparseProblem problem, SparseQuery query, int[] indices)
    {
        int document = (query.Batch * problem.Shape.Positions) + query.Blocks.Segment.Start;
        return indices
            .Skip(BlockSelectionReference.IndicesRow(problem, query))
            .Take(problem.BlockCount)
            .Where(block => block >= 0)
            .SelectMany(block => Enumerable.Range(block * problem.BlockSize, problem.BlockSize))
            .Where(token => token <= query.Token)
            .Select(token => document + token);
    }
}
