using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = silu(gate) ∘ value (Shazeer 2020).</summary>
public static class SwiGlu
{
    /// <summary>Gates a value.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="gate">F32, any shape.</param>
    /// <param name="value">F32, the shape of <paramref name="gate"/>.</param>
    /// <returns>F32, the same shape.</returns>
    /// <exception cref="OperandException">The shapes differ.</exception>
    public static Tensor Apply(Tape tape, Tensor gate, Tensor value) => throw new NotImplementedException();
}
