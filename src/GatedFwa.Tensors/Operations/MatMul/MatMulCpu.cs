using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class MatMulCpu
{
    public static void Forward(Tensor a, Tensor b, Tensor c, bool transposeA, bool transposeB) =>
        MatrixProduct.Multiply(View(a, transposeA), View(b, transposeB), c.Floats, c.Shape[1]);

    /// <summary>da += dc · op(B)ᵀ, turned where a is read as its transpose.</summary>
    public static void AccumulateA(Tensor dc, Tensor b, Tensor da, bool transposeA, bool transposeB)
    {
        StridedMatrix upstream = View(dc), opB = View(b, transposeB);
        if (transposeA) MatrixProduct.Multiply(opB, upstream.Transposed, da.Floats, da.Shape[1], accumulate: true);
        else MatrixProduct.Multiply(upstream, opB.Transposed, da.Floats, da.Shape[1], accumulate: true);
    }

    /// <summary>db += op(A)ᵀ · dc, turned where b is read as its transpose.</summary>
    public static void AccumulateB(Tensor dc, Tensor a, Tensor db, bool transposeA, bool transposeB)
    {
        StridedMatrix upstream = View(dc), opA = View(a, transposeA);
        if (transposeB) MatrixProduct.Multiply(upstream.Transposed, opA, db.Floats, db.Shape[1], accumulate: true);
        else MatrixProduct.Multiply(opA.Transposed, upstream, db.Floats, db.Shape[1], accumulate: true);
    }

    private static StridedMatrix View(Tensor tensor, bool transpose = false)
    {
        var matrix = StridedMatrix.RowMajor(tensor.Floats, tensor.Shape[0], tensor.Shape[1]);
        return transpose ? matrix.Transposed : matrix;
    }
}
