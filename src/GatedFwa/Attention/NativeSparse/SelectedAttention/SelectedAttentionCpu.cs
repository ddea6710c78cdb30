using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class SelectedAttentionCpu
{
    /// <summary>Writes o and lse.</summary>
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices, Tensor o, Tensor lse)
    {
        using var pattern = new SelectedPattern(problem, indices);
        SparseAttentionCpu.Forward(problem, pattern, q, k, v, o, lse);
    }

    /// <summary>Adds to the gradients of q, k and v.</summary>
    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices, Tensor o, Tensor lse, Tensor dO, QkvGradients gradients)
    {
        using var pattern = new SelectedPattern(problem, indices);
        SparseAttentionCpu.Backward(problem, pattern, q, k, v, o, lse, dO, gradients);
    }
}
