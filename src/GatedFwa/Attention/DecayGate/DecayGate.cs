using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>The learned decay of GatedFWA (arXiv 2512.07782): α = softplus(−βh) / (β + ε), how much each head forgets at each token.</summary>
public static class DecayGate
{
    /// <summary>Computes α from token features.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [B, T, C]: token features.</param>
    /// <param name="gateWeight">F32 [H, C]: h = x Wᵀ + b.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="amplitudeWeight">F32 [H, C]: β = 1 + ELU(x Wᵀ).</param>
    /// <param name="epsilon">Keeps the division by β finite.</param>
    /// <returns>F32 [B, T, H]: α ≥ 0.</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor gateWeight, Tensor gateBias, Tensor amplitudeWeight, float epsilon = 1e-3f) => throw new NotImplementedException();
}
