namespace GatedFwa.Tensors.Cuda;

/// <summary>A row-major matrix in GPU memory, or its transpose.</summary>
/// <param name="Address">Of the first element.</param>
/// <param name="Type">Of the elements.</param>
/// <param name="Rows">Rows of the matrix as it is used.</param>
/// <param name="Columns">Columns of the matrix as it is used.</param>
/// <param name="Stride">Elements from one row in memory to the next.</param>
/// <param name="IsTransposed">Whether rows in memory are columns in use.</param>
internal readonly record struct CudaMatrix(nint Address, DType Type, int Rows, int Columns, int Stride, bool IsTransposed = false)
{
    /// <summary>The transpose, in the same memory.</summary>
    public CudaMatrix Transposed => this with { Rows = Columns, Columns = Rows, IsTransposed = !IsTransposed };

    /// <summary>A tensor as a matrix: everything but the innermost axis is rows.</summary>
    public static CudaMatrix Of(Tensor tensor) => new(tensor.Address, tensor.Type, tensor.Shape.Rows, tensor.Shape[^1], tensor.Shape[^1]);

    /// <summary>Some of the rows in memory.</summary>
    public CudaMatrix RowRange(int first, int count) =>
        this with { Address = Address + (nint)((long)first * Stride * Type.Bytes()), Rows = count };
}
