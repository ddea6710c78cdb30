using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class LinearCuda
{
    private const int Threads = 256, BiasElements = 4; // Elements of a row that a thread of add_bias adds to.
    private const int ColumnThreads = 128;

    // Rows that one partial sum covers: enough blocks to fill a GPU, and short sums round little.
    private const int RowsPerSum = 256;

    private static readonly KernelSource Source = new(typeof(LinearCuda), "linear.cu");

    public static void Forward(Tensor x, Tensor weight, Tensor? bias, Tensor y)
    {
        CudaMatrixProduct.Multiply(y.Cuda, CudaMatrix.Of(x), CudaMatrix.Of(weight.As(x.Type)).Transposed, CudaMatrix.Of(y));
        if (bias is null) return;
        int columns = y.Shape[^1];
        y.Cuda.Kernel(Source, "add_bias", KernelDefine.Element(y.Type)).Launch(
            new LaunchShape(Blocks(y.Count, Threads * BiasElements), Threads), y, bias, y.Count, columns);
    }

    /// <summary>dx (+)= dy · W, dW (+)= dyᵀ · x, db += the sum of the rows of dy; each where it is wanted.</summary>
    public static void Backward(
        Tensor dy, Tensor x, Tensor weight, Tensor? dx, bool storeDx, Tensor? dweight, bool storeDweight, Tensor? dbias)
    {
        // A product has one type: an F32 gradient of a BF16 layer (logits) is rounded as its other gradients are.
        using Tensor? rounded = dy.Type == x.Type ? null : Tensor.Empty(dy.Shape, x.Type, dy.Device);
        if (rounded is not null) Cast.Copy(dy, rounded);
        CudaMatrix upstream = CudaMatrix.Of(rounded ?? dy);
        if (dx is not null) CudaMatrixProduct.Multiply(dy.Cuda, upstream, CudaMatrix.Of(weight.As(x.Type)), CudaMatrix.Of(dx), accumulate: !storeDx);
        if (dweight is not null) CudaMatrixProduct.Multiply(dy.Cuda, upstream.Transposed, CudaMatrix.Of(x), CudaMatrix.Of(dweight), accumulate: !storeDweight);
        if (dbias is not null) AccumulateBias(dy, dbias);
    }

    private static void AccumulateBias(Tensor dy, Tensor dbias)
    {
        int rows = dy.Shape.Rows, columns = dbias.Shape[0], parts = Blocks(rows, RowsPerSum), across = Blocks(columns, ColumnThreads);
        using CudaStorage sums = dy.Cuda.Memory.Rent((long)parts * columns * sizeof(float));
        dy.Cuda.Kernel(Source, "column_sums", KernelDefine.Element(dy.Type)).Launch(
            new LaunchShape(across, ColumnThreads, BlocksY: parts), dy, sums, rows, columns, RowsPerSum);
        ColumnSumCuda.Apply(sums, parts, columns, dbias, store: false);
    }

    private static int Blocks(long count, int each) => (int)((count + each - 1) / each);
}
