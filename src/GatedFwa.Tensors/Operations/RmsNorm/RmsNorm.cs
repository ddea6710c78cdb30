using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = x / √(mean(x²) + ε) ∘ weight over the innermost axis (Zhang and Sennrich 2019).</summary>
public static class RmsNorm
{
    /// <summary>Normalises the innermost axis.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [..., C].</param>
    /// <param name="weight">F32 [C].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <returns>F32 [..., C].</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, float epsilon = 1e-6f) => throw new NotImplementedException();
}
