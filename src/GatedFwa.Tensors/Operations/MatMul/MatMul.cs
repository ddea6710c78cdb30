using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>C = op(A) · op(B), accumulated in single precision, deterministic for any number of threads.</summary>
public static class MatMul
{
    /// <summary>Multiplies two matrices.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="a">[M, K], or [K, M] where <paramref name="transposeA"/>.</param>
    /// <param name="b">[K, N], or [N, K] where <paramref name="transposeB"/>; of a's type.</param>
    /// <param name="transposeA">Read <paramref name="a"/> as its transpose.</param>
    /// <param name="transposeB">Read <paramref name="b"/> as its transpose.</param>
    /// <returns>[M, N], of that type.</returns>
    /// <exception cref="OperandException">The shapes, types or devices do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor a, Tensor b, bool transposeA = false, bool transposeB = false)
    {
        Check(a, b, transposeA, transposeB);
        Tensor c = tape.Allocate([a.Shape[transposeA ? 1 : 0], b.Shape[transposeB ? 0 : 1]], a.Type, a.Device);
        if (a.Device.IsCpu) MatMulCpu.Forward(a, b, c, transposeA, transposeB);
        else MatMulCuda.Forward(a, b, c, transposeA, transposeB);
        if (tape.NeedsGradient(a, b))
        {
            tape.Record(nameof(MatMul), c, dc =>
            {
                if (tape.Accumulator(a) is { } da)
                {
                    if (a.Device.IsCpu) MatMulCpu.AccumulateA(dc, b, da, transposeA, transposeB);
                    else MatMulCuda.AccumulateA(dc, b, da, transposeA, transposeB);
                }

                if (tape.Accumulator(b) is { } db)
                {
                    if (a.Device.IsCpu) MatMulCpu.AccumulateB(dc, a, db, transposeA, transposeB);
                    else MatMulCuda.AccumulateB(dc, a, db, transposeA, transposeB);
                }
            });
        }

        return c;
    }

    private static void Check(Tensor a, Tensor b, bool transposeA, bool transposeB)
    {
        Operands.RequireActivations(nameof(MatMul), a, b);
        if (a.Shape.Rank != 2 || b.Shape.Rank != 2) throw new OperandException(nameof(MatMul), "two matrices", $"{a.Shape} and {b.Shape}");
        if (a.Shape[transposeA ? 0 : 1] != b.Shape[transposeB ? 1 : 0])
        {
            throw new OperandException(
                nameof(MatMul),
                "matrices whose inner extents agree",
                $"{a.Shape}{(transposeA ? "ᵀ" : "")} · {b.Shape}{(transposeB ? "ᵀ" : "")}");
        }
    }
}
