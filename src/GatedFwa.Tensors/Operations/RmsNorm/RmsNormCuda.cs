using System.Numerics;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class RmsNormCuda
{
    /// <summary>What <c>norm_row.cuh</c> keeps at the beginning of a block's shared memory.</summary>
    public const int ScratchBytes = 128;

    private const int Warp = 32, MostRowThreads = 1024;

    // A thread keeps so many elements of a row in registers before the row is given more threads.
    private const int ElementsPerThread = 32;

    // All run at once, by their registers; more would only lengthen the second stage of dweight.
    private const int ThreadsPerMultiprocessor = 512;

    // A row that is worked on and the next one, of x, dy and the gradient that is added to.
    private const int Slots = 2, MostTensors = 3, PackBytes = 16;

    private static readonly KernelSource Source = new(typeof(RmsNormCuda), "rms_norm.cu");

    public static void Forward(Tensor x, Tensor weight, float epsilon, Tensor y) => Forward(x, weight, epsilon, y, null, null, null);

    /// <summary>Normalises each token's heads together, then turns each.</summary>
    public static void ForwardRotated(Tensor x, Tensor weight, float epsilon, HeadRotation rotation, Tensor y) =>
        Forward(x, weight, epsilon, y, rotation, null, null);

    /// <summary>sum = x + branch, y = the norm of it.</summary>
    public static void ForwardSum(Tensor x, Tensor branch, Tensor weight, float epsilon, Tensor sum, Tensor y) =>
        Forward(x, weight, epsilon, y, null, branch, sum);

    /// <summary>Whether heads of this size can be turned in the same pass: a warp must have both halves of each.</summary>
    public static bool CanRotate(Tensor x, int width, int headSize)
    {
        int pack = RowLaunch.PackOf(x, width), half = headSize / 2;
        return headSize % (2 * pack) == 0 && half / pack <= Warp / 2 && BitOperations.IsPow2(half / pack);
    }

    /// <summary>Either gradient may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(
        Tensor x,
        Tensor weight,
        float epsilon,
        Tensor dy,
        Tensor? dx,
        bool storeDx,
        Tensor? dweight,
        bool storeDweight,
        HeadRotation? rotation = null)
    {
        var cut = new Cut(x);
        using CudaStorage? parts = dweight is null ? null : x.Cuda.Memory.Rent((long)cut.Blocks * cut.Width * sizeof(float));
        x.Cuda.Kernel(Source, "rms_norm_backward", cut.Defines(rotation)).Launch(
            cut.Launch(dx is null || storeDx ? 2 : 3, sharesDweight: parts is not null),
            x.Origin, weight, dy, dx?.Origin ?? 0, storeDx, parts, cut.Rows, epsilon, rotation?.Angles, rotation?.TableRows ?? 1,
            x.RowStride(cut.Width));
        if (dweight is not null) ColumnSumCuda.Apply(parts!, cut.Blocks, cut.Width, dweight, storeDweight);
    }

    private static void Forward(
        Tensor x, Tensor weight, float epsilon, Tensor y, HeadRotation? rotation, Tensor? branch, Tensor? sum)
    {
        var cut = new Cut(x);
        x.Cuda.Kernel(Source, "rms_norm_forward", cut.Defines(rotation)).Launch(
            cut.Launch(branch is null ? 1 : 2),
            x.Origin, weight, y, cut.Rows, epsilon, rotation?.Angles, rotation?.TableRows ?? 1, branch, sum, x.RowStride(cut.Width));
    }

    /// <summary>A rotation of heads by position.</summary>
    /// <param name="Angles">Cosines and sines [T, D], or [B T, D] (<see cref="RotaryTable.Of"/>).</param>
    internal sealed record HeadRotation(Tensor Angles)
    {
        public int TableRows => Angles.Shape[0];
    }

    /// <summary>How rows are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly int _pack, _rowThreads, _threads, _slotBytes;
        private readonly bool _isAhead; // Whether there is room for rows on their way.
        private readonly DType _type;

        public Cut(Tensor x)
        {
            (Rows, Width, _type) = (x.Shape.Rows, x.Shape[^1], x.Type);
            _pack = RowLaunch.PackOf(x, Width);
            _rowThreads = Warp;
            while (_rowThreads < MostRowThreads && _rowThreads * ElementsPerThread < Width) _rowThreads *= 2;
            _threads = Math.Max(_rowThreads, _rowThreads == Warp ? RowLaunch.Threads : 0);
            int blocksAtOnce = Math.Max(1, ThreadsPerMultiprocessor / _threads);
            Blocks = Math.Min(RowLaunch.Quotient(Rows, RowsPerBlock), x.Cuda.Multiprocessors * blocksAtOnce);
            _slotBytes = RowLaunch.Quotient(Width / _pack, _rowThreads) * _threads * PackBytes;
            _isAhead = _pack * _type.Bytes() == PackBytes && ScratchBytes + (MostTensors * Slots * _slotBytes) <= x.Cuda.MaxSharedBytes / 2;
        }

        public int Rows { get; }

        public int Width { get; }

        public int Blocks { get; }

        private int RowsPerBlock => _threads / _rowThreads;

        /// <summary>
        /// A launch with rows of so many tensors on their way. Those come past the first-level cache, which can be small; the shares of
        /// dweight lie where rows have been.
        /// </summary>
        public LaunchShape Launch(int tensors, bool sharesDweight = false)
        {
            int rows = _isAhead ? tensors * Slots * _slotBytes : 0;
            int shares = sharesDweight && RowsPerBlock > 1 ? RowsPerBlock * Width * sizeof(float) : 0;
            return new LaunchShape(Blocks, _threads, ScratchBytes + Math.Max(rows, shares), Overlaps: true, MostShared: _isAhead);
        }

        public KernelDefine[] Defines(HeadRotation? rotation)
        {
            KernelDefine[] plain =
            [
                KernelDefine.Element(_type), ("WIDTH", Width), ("PACK", _pack), ("ROW_THREADS", _rowThreads), ("THREADS", _threads),
                ("AHEAD", _isAhead), ("ROTATES", rotation is not null),
            ];
            return rotation is null ? plain : [.. plain, ("HEAD_SIZE", rotation.Angles.Shape[1])];
        }
    }
}
