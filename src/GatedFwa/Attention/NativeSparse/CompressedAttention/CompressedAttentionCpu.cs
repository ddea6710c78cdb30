using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class CompressedAttentionCpu
{
    /// <summary>Writes o and lse.</summary>
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, Tensor o, Tensor lse)
    {
        using var pattern = new CompressedPattern(problem);
        SparseAttentionCpu.Forward(problem, pattern, q, pooledK, pooledV, o, lse);
    }

    /// <summary>Adds to the gradients of q and of the pooled keys and values.</summary>
    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, Tensor o, Tensor lse, Tensor dO, QkvGradients gradients)
    {
        using var pattern = new CompressedPattern(problem);
        SparseAttentionCpu.Backward(problem, pattern, q, pooledK, pooledV, o, lse, dO, gradients);
    }
}
