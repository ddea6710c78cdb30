using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class RmsNormCuda
{
    private const int Warp = 32, MostRowThreads = 1024;

    // A thread keeps so many elements of a row in registers before the row is given more threads.
    private const int ElementsPerThread = 32;

    // Enough to fill the GPU; more would only lengthen the second stage of dweight.
    private const int BlocksPerMultiprocessor = 4;

    private static readonly KernelSource Source = new(typeof(RmsNormCuda), "rms_norm.cu");

    public static void Forward(Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        var cut = new Cut(x);
        x.Cuda.Kernel(Source, "rms_norm_forward", cut.Defines).Launch(
            new LaunchShape(cut.Blocks, cut.Threads), x, weight, y, cut.Rows, epsilon);
    }

    /// <summary>Either gradient may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(
        Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor? dx, bool storeDx, Tensor? dweight, bool storeDweight)
    {
        var cut = new Cut(x);
        using CudaStorage? parts = dweight is null ? null : x.Cuda.Memory.Rent((long)cut.Blocks * cut.Width * sizeof(float));
        int sharedBytes = parts is null || cut.RowsPerBlock == 1 ? 0 : cut.RowsPerBlock * cut.Width * sizeof(float);
        x.Cuda.Kernel(Source, "rms_norm_backward", cut.Defines).Launch(
            new LaunchShape(cut.Blocks, cut.Threads, sharedBytes), x, weight, dy, dx, storeDx, parts, cut.Rows, epsilon);
        if (dweight is not null) ColumnSumCuda.Apply(parts!, cut.Blocks, cut.Width, dweight, storeDweight);
    }

    /// <summary>How rows are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly int _pack, _rowThreads;
        private readonly DType _type;

        public Cut(Tensor x)
        {
            (Rows, Width, _type) = (x.Shape.Rows, x.Shape[^1], x.Type);
            _pack = RowLaunch.PackOf(x.Type, Width);
            _rowThreads = Warp;
            while (_rowThreads < MostRowThreads && _rowThreads * ElementsPerThread < Width) _rowThreads *= 2;
            Threads = Math.Max(_rowThreads, _rowThreads == Warp ? RowLaunch.Threads : 0);
            RowsPerBlock = Threads / _rowThreads;
            Blocks = Math.Min(RowLaunch.Quotient(Rows, RowsPerBlock), x.Cuda.Multiprocessors * BlocksPerMultiprocessor);
        }

        public int Rows { get; }

        public int Width { get; }

        public int Threads { get; }

        public int RowsPerBlock { get; }

        public int Blocks { get; }

        public KernelDefine[] Defines => [KernelDefine.Element(_type), ("WIDTH", Width), ("PACK", _pack), ("ROW_THREADS", _rowThreads)];
    }
}
