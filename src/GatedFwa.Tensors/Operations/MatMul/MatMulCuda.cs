using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class MatMulCuda
{
    public static void Forward(Tensor a, Tensor b, Tensor c, bool transposeA, bool transposeB)
    {
        if (a.Count == 0) c.Clear(); // Sums of nothing: cuBLASLt knows no such product.
        else CudaMatrixProduct.Multiply(c.Cuda, View(a, transposeA), View(b, transposeB), View(c));
    }

    /// <summary>da += dc · op(B)ᵀ, turned where a is read as its transpose.</summary>
    public static void AccumulateA(Tensor dc, Tensor b, Tensor da, bool transposeA, bool transposeB)
    {
        CudaMatrix upstream = View(dc), opB = View(b, transposeB);
        if (transposeA) CudaMatrixProduct.Multiply(da.Cuda, opB, upstream.Transposed, View(da), accumulate: true);
        else CudaMatrixProduct.Multiply(da.Cuda, upstream, opB.Transposed, View(da), accumulate: true);
    }

    /// <summary>db += op(A)ᵀ · dc, turned where b is read as its transpose.</summary>
    public static void AccumulateB(Tensor dc, Tensor a, Tensor db, bool transposeA, bool transposeB)
    {
        CudaMatrix upstream = View(dc), opA = View(a, transposeA);
        if (transposeB) CudaMatrixProduct.Multiply(db.Cuda, upstream.Transposed, opA, View(db), accumulate: true);
        else CudaMatrixProduct.Multiply(db.Cuda, opA.Transposed, upstream, View(db), accumulate: true);
    }

    private static CudaMatrix View(Tensor tensor, bool transpose = false)
    {
        CudaMatrix matrix = CudaMatrix.Of(tensor);
        return transpose ? matrix.Transposed : matrix;
    }
}
