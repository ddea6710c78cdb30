using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = x Wᵀ + b.</summary>
public static class Linear
{
    /// <summary>Applies a linear layer to the innermost axis.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [..., K].</param>
    /// <param name="weight">F32 [N, K].</param>
    /// <param name="bias">F32 [N], or none.</param>
    /// <returns>F32 [..., N].</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, Tensor? bias = null) => throw new NotImplementedException();
}
