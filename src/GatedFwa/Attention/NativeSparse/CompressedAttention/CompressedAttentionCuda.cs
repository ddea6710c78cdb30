using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class CompressedAttentionCuda
{
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, Tensor o, Tensor lse) =>
        ListedAttentionCuda.Forward(problem, q, pooledK, pooledV, indices: null, o, lse);

    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, Tensor o, Tensor lse, Tensor dO, QkvGradients gradients) =>
        ListedAttentionCuda.Backward(problem, q, pooledK, pooledV, indices: null, o, lse, dO, gradients);
}
