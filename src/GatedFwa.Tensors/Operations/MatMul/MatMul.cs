using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>C = op(A) · op(B), single precision, deterministic for any number of threads.</summary>
public static class MatMul
{
    /// <summary>Multiplies two matrices.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="a">F32 [M, K], or [K, M] where <paramref name="transposeA"/>.</param>
    /// <param name="b">F32 [K, N], or [N, K] where <paramref name="transposeB"/>.</param>
    /// <param name="transposeA">Read <paramref name="a"/> as its transpose.</param>
    /// <param name="transposeB">Read <paramref name="b"/> as its transpose.</param>
    /// <returns>F32 [M, N].</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor a, Tensor b, bool transposeA = false, bool transposeB = false) => throw new NotImplementedException();
}
