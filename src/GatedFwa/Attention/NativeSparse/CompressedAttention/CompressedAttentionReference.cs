namespace GatedFwa.Attention;

/// <summary>Attention to the means of complete blocks in double: the contract of <see cref="CompressedAttention"/>.</summary>
internal static class CompressedAttentionReference
{
    /// <summary>o [B, T, H, D] and lse [B, H, T].</summary>
    public static (double[] O, double[] Lse) Forward(NativeSparseProblem problem, double[] q, double[] pooledK, double[] pooledV) =>
        ListedAttentionReference.Forward(problem, q, pooledK, pooledV, query => Rows(problem, query));

    /// <summary>The gradients of q and of the pooled keys and values, given that of o.</summary>
    public static (double[] Dq, double[] DpooledK, double[] DpooledV) Backward(
        NativeSparseProblem problem, double[] q, double[] pooledK, double[] pooledV, double[] dO) =>
        ListedAttentionReference.Backward(problem, q, pooledK, pooledV, dO, query => Rows(problem, query));

    private static IEnumerable<int> Rows(NativeSparseProblem problem, SparseQuery query) => Enumerable.Range(
        (query.Batch * problem.Blocks.PooledRows) + query.Blocks.FirstPooled, query.Blocks.CompleteAt(query.Token));
}
