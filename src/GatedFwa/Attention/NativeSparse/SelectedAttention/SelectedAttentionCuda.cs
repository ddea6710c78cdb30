using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class SelectedAttentionCuda
{
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices, Tensor o, Tensor lse) =>
        ListedAttentionCuda.Forward(problem, q, k, v, indices, o, lse);

    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices, Tensor o, Tensor lse, Tensor dO, QkvGradients gradients) =>
        ListedAttentionCuda.Backward(problem, q, k, v, indices, o, lse, dO, gradients);
}
