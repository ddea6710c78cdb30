namespace GatedFwa.Tensors.Cuda;

/// <summary>The second stage of a reduction over rows: adds what the blocks of the first left side by side, in a fixed order.</summary>
internal static class ColumnSumCuda
{
    private const int ColumnsPerBlock = 32, Threads = 1024;

    private static readonly KernelSource Source = new(typeof(ColumnSumCuda), "column_sum.cu");

    /// <summary>y (+)= the column sums of <paramref name="parts"/>, F32 [rows, width].</summary>
    public static void Apply(CudaStorage parts, int rows, int width, Tensor y, bool store) =>
        parts.Cuda.Kernel(Source, "column_sum").Launch(
            new LaunchShape(RowLaunch.Quotient(width, ColumnsPerBlock), Threads, Overlaps: true), parts, rows, width, y, store);
}
