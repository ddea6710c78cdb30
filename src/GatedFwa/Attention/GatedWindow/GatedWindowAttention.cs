using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Sliding-window softmax attention whose scores carry a learned decay (GatedFWA, arXiv 2512.07782; operator.md §2).</summary>
public static class GatedWindowAttention
{
    /// <summary>Attends from the last T of S positions to the visible ones.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="q">F32 [B, T, H, D].</param>
    /// <param name="k">F32 [B, S, Hkv, D], S ≥ T, H a multiple of Hkv.</param>
    /// <param name="v">F32 [B, S, Hkv, D].</param>
    /// <param name="alpha">F32 [B, S, H]: the decay of each token, or none.</param>
    /// <param name="options">Window, scale and layout.</param>
    /// <param name="lse">F32 [B, H, T]: receives the logarithm of each query's sum of exponentials, when given (−∞ where it sees nothing).</param>
    /// <returns>F32 [B, T, H, D]; 0 where a query sees nothing.</returns>
    /// <exception cref="OperandException">The shapes do not match, D is not a multiple of 8 in 8 … 256, or the window is below 1.</exception>
    public static Tensor Apply(Tape tape, Tensor q, Tensor k, Tensor v, Tensor? alpha, AttentionOptions options, Tensor? lse = null) => throw new NotImplementedException();
}
