using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

/// <summary>
/// One shift, whose tokens are walked by threads that keep what neighbours share; a norm and the rotation of heads may follow it in the
/// same pass. <see cref="TokenShiftCuda"/> shifts what does not fit.
/// </summary>
internal sealed class ShiftedRowsCuda
{
    private const int Warp = 32;

    // A thread keeps a row's values, weights, both gradients and what is handed on, so many of each at most; 168 registers in all.
    private const int ElementsPerThread = 24;

    private const int PackBytes = 16, MostThreads = 128;

    // Rows that have a place in shared memory: of x, and backwards of dy, too.
    private const int Slots = 4;

    // Of the shift alone, and of all three at once.
    private static readonly Pass ForwardAlone = new(Threads: 1024, Tensors: 1, Gates: 16, Turns: false);
    private static readonly Pass BackwardAlone = new(Threads: 512, Tensors: 2, Gates: 32, Turns: false);
    private static readonly Pass ForwardNormed = new(Threads: 512, Tensors: 1, Gates: 16, Turns: true);
    private static readonly Pass BackwardNormed = new(Threads: 384, Tensors: 2, Gates: 32, Turns: true);

    private static readonly KernelSource Source = new(typeof(ShiftedRowsCuda), "shifted_rows.cu");

    private readonly Tensor _x, _mix;
    private readonly Tensor? _previous;
    private readonly NormAndTurn? _norm;
    private readonly CudaSequences _sequences;
    private readonly int _rows, _tokens, _heads, _headSize, _width;
    private readonly Cut _cut;

    public ShiftedRowsCuda(Tensor x, Tensor mix, SequenceLayout layout, Segment[] segments, Tensor? previous, NormAndTurn? norm = null)
    {
        (_x, _mix, _previous, _norm) = (x, mix, previous, norm);
        (_rows, _tokens, _heads, _headSize) = (x.Shape[0] * x.Shape[1], x.Shape[1], x.Shape[2], x.Shape[3]);
        _width = _heads * _headSize;
        _sequences = new CudaSequences(x, layout, segments);
        _cut = new Cut(x);
    }

    /// <summary>Whether rows begin on 16 bytes, a warp has whole heads, and a block has room for what is on its way.</summary>
    public static bool Fits(Tensor x)
    {
        int width = x.Shape[2] * x.Shape[3];
        return RowLaunch.PackOf(x, width) * x.Type.Bytes() == PackBytes && RmsNormCuda.CanRotate(x, width, x.Shape[3]) &&
            new Cut(x).SharedBytes(BackwardNormed) <= x.Cuda.MaxSharedBytes;
    }

    private Pass ForwardPass => _norm is null ? ForwardAlone : ForwardNormed;

    private Pass BackwardPass => _norm is null ? BackwardAlone : BackwardNormed;

    public void Forward(Tensor y)
    {
        (int blocks, int run) = _cut.Deal(_rows, _x.Cuda, ForwardPass);
        using CudaStorage? starts = _sequences.Starts(_x.Cuda);
        Kernel("shifted_rows_forward").Launch(
            _cut.Launch(blocks, ForwardPass),
            _x.Origin, _mix.Origin, _previous, starts, _sequences.Count,
            _norm?.Weight, _norm?.Angles, _norm?.Angles.Shape[0] == _tokens, y, _rows, _tokens, run, _norm?.Epsilon ?? 0,
            _x.RowStride(_width), _mix.RowStride(_heads));
    }

    /// <summary>Any gradient may be absent. Stores (zeros for padding) where the accumulator is fresh, else adds.</summary>
    public void Backward(
        Tensor dy, Tensor? dx, bool storeDx, Tensor? dmix, bool storeDmix, Tensor? dweight = null, bool storeDweight = false)
    {
        (int blocks, int run) = _cut.Deal(_rows, _x.Cuda, BackwardPass);
        using CudaStorage? starts = _sequences.Starts(_x.Cuda);
        using CudaStorage? parts = dweight is null ? null : _x.Cuda.Memory.Rent((long)blocks * _width * sizeof(float));
        Kernel("shifted_rows_backward").Launch(
            _cut.Launch(blocks, BackwardPass),
            _x.Origin, _mix.Origin, _previous, starts, _sequences.Count,
            _norm?.Weight, _norm?.Angles, _norm?.Angles.Shape[0] == _tokens,
            dy, dx?.Origin ?? 0, storeDx, dmix?.Origin ?? 0, storeDmix, parts,
            _rows, _tokens, run, _norm?.Epsilon ?? 0, _x.RowStride(_width), _mix.RowStride(_heads));
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
        ("HEAD_SIZE", _headSize),
        ("ROTATES", _norm is not null),
        ("FORWARD_BLOCKS", _cut.BlocksByRegisters(ForwardPass)),
        ("BACKWARD_BLOCKS", _cut.BlocksByRegisters(BackwardPass)),
        ("FORWARD_GATES", ForwardPass.Gates),
        ("BACKWARD_GATES", BackwardPass.Gates),
        _sequences.Define);

    /// <summary>What follows the shift.</summary>
    /// <param name="Weight">F32 [H D].</param>
    /// <param name="Angles">Cosines and sines [T, D], or [B T, D] (<see cref="RotaryTable.Of"/>).</param>
    /// <param name="Epsilon">Added to the mean square.</param>
    internal sealed record NormAndTurn(Tensor Weight, Tensor Angles, float Epsilon);

    /// <summary>What a kernel needs.</summary>
    /// <param name="Threads">At most so many on a multiprocessor: a thread's registers allow no more.</param>
    /// <param name="Tensors">So many have rows on their way: x, and backwards dy.</param>
    /// <param name="Gates">So many rows of a walk have their gates in shared memory, a power of two.</param>
    /// <param name="Turns">Whether rows have angles.</param>
    private sealed record Pass(int Threads, int Tensors, int Gates, bool Turns);

    /// <summary>How rows are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly int _packs; // Of a thread.
        private readonly int _headSize, _headLanes; // As head_numbers.cuh has them.

        public Cut(Tensor x)
        {
            int width = x.Shape[2] * x.Shape[3];
            _headSize = x.Shape[3];
            _headLanes = _headSize * x.Type.Bytes() / PackBytes;
            RowThreads = Warp;
            while (RowThreads * ElementsPerThread < width) RowThreads *= 2;
            _packs = RowLaunch.Quotient(width * x.Type.Bytes(), RowThreads * PackBytes);
            Threads = RowThreads == Warp ? MostThreads : RowThreads;
            while (Threads > RowThreads && SharedBytes(BackwardNormed) > x.Cuda.MaxSharedBytes) Threads /= 2;
        }

        public int RowThreads { get; }

        public int Threads { get; }

        /// <summary>A block's shared memory: rows and their angles on their way, gates.</summary>
        public int SharedBytes(Pass pass)
        {
            int rows = pass.Tensors * Slots * _packs * Threads * PackBytes;
            int warpAngles = pass.Turns ? Slots * _headSize : 0, warpGates = pass.Gates * _packs * (Warp / _headLanes);
            return RmsNormCuda.ScratchBytes + rows + (Threads / Warp * (warpAngles + warpGates) * sizeof(float));
        }

        public LaunchShape Launch(int blocks, Pass pass) => new(blocks, Threads, SharedBytes(pass), Overlaps: true, MostShared: true);

        public int BlocksByRegisters(Pass pass) => Math.Max(1, pass.Threads / Threads);

        /// <summary>Blocks, and the neighbouring rows that a warp or block of them walks: all run at once.</summary>
        public (int Blocks, int Run) Deal(int rows, CudaDevice device, Pass pass)
        {
            int walkersOfBlock = Threads / RowThreads;
            int blocksAtOnce = Math.Max(1, Math.Min(BlocksByRegisters(pass), device.MaxSharedBytes / SharedBytes(pass)));
            int run = Math.Max(1, RowLaunch.Quotient(rows, device.Multiprocessors * blocksAtOnce * walkersOfBlock));
            return (RowLaunch.Quotient(rows, run * walkersOfBlock), run);
        }
    }
}
