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

    // Threads of a multiprocessor: what their registers allow.
    private const int ForwardThreads = 512, BackwardThreads = 384;

    // Rows whose place in shared memory is the threads': of x, and backwards of dy, too.
    private const int Slots = 4;

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
            new Cut(x).SharedBytes(2) <= x.Cuda.MaxSharedBytes;
    }

    public void Forward(Tensor y)
    {
        (int blocks, int run) = _cut.Deal(_rows, _x.Cuda, ForwardThreads, _cut.SharedBytes(1));
        using CudaStorage? starts = _sequences.Starts(_x.Cuda);
        Kernel("shifted_rows_forward").Launch(
            new LaunchShape(blocks, _cut.Threads, _cut.SharedBytes(1)),
            _x.Origin, _mix.Origin, _previous, starts, _sequences.Count,
            _norm?.Weight, _norm?.Angles, _norm?.Angles.Shape[0] == _tokens, y, _rows, _tokens, run, _norm?.Epsilon ?? 0,
            _x.RowStride(_width), _mix.RowStride(_heads));
    }

    /// <summary>Any gradient may be absent. Stores (zeros for padding) where the accumulator is fresh, else adds.</summary>
    public void Backward(
        Tensor dy, Tensor? dx, bool storeDx, Tensor? dmix, bool storeDmix, Tensor? dweight = null, bool storeDweight = false)
    {
        (int blocks, int run) = _cut.Deal(_rows, _x.Cuda, BackwardThreads, _cut.SharedBytes(2));
        using CudaStorage? starts = _sequences.Starts(_x.Cuda);
        using CudaStorage? parts = dweight is null ? null : _x.Cuda.Memory.Rent((long)blocks * _width * sizeof(float));
        Kernel("shifted_rows_backward").Launch(
            new LaunchShape(blocks, _cut.Threads, _cut.SharedBytes(2)),
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
        ("FORWARD_BLOCKS", Math.Max(1, ForwardThreads / _cut.Threads)),
        ("BACKWARD_BLOCKS", Math.Max(1, BackwardThreads / _cut.Threads)),
        _sequences.Define);

    /// <summary>What follows the shift.</summary>
    /// <param name="Weight">F32 [H D].</param>
    /// <param name="Angles">Cosines and sines [T, D], or [B T, D] (<see cref="RotaryTable.Of"/>).</param>
    /// <param name="Epsilon">Added to the mean square.</param>
    internal sealed record NormAndTurn(Tensor Weight, Tensor Angles, float Epsilon);

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
        public (int Blocks, int Run) Deal(int rows, CudaDevice device, int threadsByRegisters, int sharedBytes)
        {
            int walkersOfBlock = Threads / RowThreads;
            int blocksAtOnce = Math.Max(1, Math.Min(threadsByRegisters / Threads, device.MaxSharedBytes / sharedBytes));
            int run = Math.Max(1, RowLaunch.Quotient(rows, device.Multiprocessors * blocksAtOnce * walkersOfBlock));
            return (RowLaunch.Quotient(rows, run * walkersOfBlock), run);
        }
    }
}
