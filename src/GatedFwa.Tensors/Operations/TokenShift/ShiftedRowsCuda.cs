using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

/// <summary>The operands of one shift, norm and rotation, and how its tokens are dealt to threads.</summary>
internal sealed class ShiftNormRotaryCuda
{
    private const int Warp = 32;

    // A thread keeps a row's values, weights, both gradients and what is handed on, so many of each at most; 168 registers in all.
    private const int ElementsPerThread = 24;

    private const int PackBytes = 16, MostThreads = 128;

    // Threads of a multiprocessor: what their registers allow.
    private const int ForwardThreads = 512, BackwardThreads = 384;

    // Rows whose place in shared memory is the threads': of x, and backwards of dy, too.
    private const int Slots = 4;

    private static readonly KernelSource Source = new(typeof(ShiftNormRotaryCuda), "shift_norm_rotary.cu");

    private readonly Tensor _x, _mix, _weight, _angles;
    private readonly Tensor? _previous;
    private readonly float _epsilon;
    private readonly CudaSequences _sequences;
    private readonly int _rows, _tokens, _heads, _width;
    private readonly Cut _cut;

    public ShiftNormRotaryCuda(
        Tensor x, Tensor mix, Tensor weight, Tensor angles, float epsilon, SequenceLayout layout, Segment[] segments, Tensor? previous)
    {
        (_x, _mix, _weight, _angles, _epsilon, _previous) = (x, mix, weight, angles, epsilon, previous);
        (_rows, _tokens, _heads, _width) = (x.Shape[0] * x.Shape[1], x.Shape[1], x.Shape[2], weight.Shape[0]);
        _sequences = new CudaSequences(x, layout, segments);
        _cut = new Cut(x);
    }

    /// <summary>Whether rows begin on 16 bytes, a warp has whole heads, and a block has room for what is on its way.</summary>
    public static bool Fits(Tensor x)
    {
        int width = x.Shape[2] * x.Shape[3];
        return RowLaunch.PackOf(x, width) * x.Type.Bytes() == PackBytes && RmsNormCuda.CanRotate(x, width, x.Shape[3]) &&
            new Cut(x).SharedBytes(2) <= x.Cuda.MaxSharedBytes;
    }

    public void Forward(Tensor y)
    {
        (int blocks, int run) = _cut.Deal(_rows, _x.Cuda.Multiprocessors * ForwardThreads);
        using CudaStorage? starts = _sequences.Starts(_x.Cuda);
        Kernel("shift_norm_rotary_forward").Launch(
            new LaunchShape(blocks, _cut.Threads, _cut.SharedBytes(1)),
            _x.Origin, _mix.Origin, _previous, starts, _sequences.Count, _weight, _angles, _angles.Shape[0], y, _rows, _tokens, run, _epsilon,
            _x.RowStride(_width), _mix.RowStride(_heads));
    }

    /// <summary>Any gradient may be absent. Stores (zeros for padding) where the accumulator is fresh, else adds.</summary>
    public void Backward(Tensor dy, Tensor? dx, bool storeDx, Tensor? dmix, bool storeDmix, Tensor? dweight, bool storeDweight)
    {
        (int blocks, int run) = _cut.Deal(_rows, _x.Cuda.Multiprocessors * BackwardThreads);
        using CudaStorage? starts = _sequences.Starts(_x.Cuda);
        using CudaStorage? parts = dweight is null ? null : _x.Cuda.Memory.Rent((long)blocks * _width * sizeof(float));
        Kernel("shift_norm_rotary_backward").Launch(
            new LaunchShape(blocks, _cut.Threads, _cut.SharedBytes(2)),
            _x.Origin, _mix.Origin, _previous, starts, _sequences.Count, _weight, _angles, _angles.Shape[0], dy, dx?.Origin ?? 0, storeDx,
            dmix?.Origin ?? 0, storeDmix, parts, _rows, _tokens, run, _epsilon, _x.RowStride(_width), _mix.RowStride(_heads));
        if (dweight is not null) ColumnSumCuda.Apply(parts!, blocks, _width, dweight, storeDweight);
    }

    private CudaKernel Kernel(string function) => _x.Cuda.Kernel(
        Source,
        function,
        KernelDefine.Element(_x.Type),
        ("WIDTH", _width),
        ("PACK", PackBytes / _x.Type.Bytes()),
        ("ROW_THREADS", _cut.RowThreads),
        ("THREADS", _cut.Threads),
        ("HEAD_SIZE", _angles.Shape[1]),
        ("FORWARD_BLOCKS", Math.Max(1, ForwardThreads / _cut.Threads)),
        ("BACKWARD_BLOCKS", Math.Max(1, BackwardThreads / _cut.Threads)),
        _sequences.Define);

    /// <summary>How rows are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly int _packs; // Of a thread.

        public Cut(Tensor x)
        {
            int width = x.Shape[2] * x.Shape[3];
            RowThreads = Warp;
            while (RowThreads * ElementsPerThread < width) RowThreads *= 2;
            _packs = RowLaunch.Quotient(width * x.Type.Bytes(), RowThreads * PackBytes);
            Threads = RowThreads == Warp ? MostThreads : RowThreads;
            while (Threads > RowThreads && SharedBytes(2) > x.Cuda.MaxSharedBytes) Threads /= 2;
        }

        public int RowThreads { get; }

        public int Threads { get; }

        /// <summary>A block's shared memory, with rows of so many tensors on their way.</summary>
        public int SharedBytes(int tensors) => RmsNormCuda.ScratchBytes + (tensors * Slots * _packs * Threads * PackBytes);

        /// <summary>Blocks, and the neighbouring rows that a warp or block of them walks: all run at once.</summary>
        public (int Blocks, int Run) Deal(int rows, int threads)
        {
            int walkers = Math.Max(1, threads / RowThreads), run = Math.Max(1, RowLaunch.Quotient(rows, walkers));
            return (RowLaunch.Quotient(rows, run * (Threads / RowThreads)), run);
        }
    }
}
