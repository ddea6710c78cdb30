using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = table[token].</summary>
public static class Embedding
{
    /// <summary>Looks up a row for each token.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="tokens">I32 [...], each in 0 … V − 1.</param>
    /// <param name="table">F32 [V, C].</param>
    /// <returns>F32 [..., C].</returns>
    /// <exception cref="OperandException">The shapes or types do not match, or a token is out of range.</exception>
    public static Tensor Apply(Tape tape, Tensor tokens, Tensor table) => throw new NotImplementedException();
}
