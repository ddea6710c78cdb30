using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>
/// Reads a ring once. The window is split over blocks until the GPU is full; each leaves a softmax of its own part, and a second
/// kernel, or whoever reads them, joins them in order.
/// </summary>
internal static class RingDecodeCuda
{
    private const int Warp = 32;
    private const int TileKeys = 32;

    /// <summary>Warps of a block: few where blocks are many, so that several share a multiprocessor; more where a block has one to
    /// itself, so that a window of 512 needs no second kernel.</summary>
    private const int FewWarps = 4, ManyWarps = 16;

    /// <summary>What the warps of a block may leave side by side in shared memory.</summary>
    private const int MostSharedBytes = 32 << 10;

    /// <summary>Query heads of a group that share one reading of their keys; more do not fit the registers.</summary>
    private const int MostHeads = 4;

    /// <summary>The same for blocks of many warps, which have fewer registers each.</summary>
    private const int MostHeadsOfManyWarps = 2;

    /// <summary>What the joining kernel takes, and its threads.</summary>
    private const int MostSplits = 128;

    /// <summary>What a reader of <see cref="Parts"/> is asked to join of a head, and to keep of all texts.</summary>
    private const int MostParts = 16, MostJoinedBytes = 64 << 10;

    /// <summary>Blocks of few warps that keep a multiprocessor's memory requests coming.</summary>
    private const int BlocksPerMultiprocessor = 4;

    /// <summary>
    /// What each warp of many texts has under way in shared memory (<c>ring_reads.cuh</c>), and the reads, 16 bytes a lane, that come
    /// together: with 32 KiB a block and six blocks, memory is never idle.
    /// </summary>
    private const int Stages = 2, StageReads = 8;

    /// <summary>
    /// Groups of reads after those that come to the second-level cache while the kernel ahead still runs: the second tile's keys, where a
    /// head is 64. Those of all blocks must stay there until they are read.
    /// </summary>
    private const int StagesAhead = 1;

    /// <summary>The first architecture whose copy engine fills stages.</summary>
    private const int StagedArchitecture = 90;

    /// <summary>Decay, highest score and sum of weights of a part.</summary>
    private const int StretchBytes = 16;

    private static readonly KernelSource Source = new(typeof(RingDecodeCuda), "ring_decode.cu");

    /// <summary>Attends to a ring whose newest positions the host knows.</summary>
    public static void Forward(Tensor q, KeyValueRing ring, float scale, Tensor o)
    {
        var plan = new Plan(q.Cuda, ring, ring.Count, joins: true);
        using CudaStorage? scratch = plan.ScratchBytes == 0 ? null : q.Cuda.Memory.Rent(plan.ScratchBytes);
        plan.Launch([q], [("PREPARES", false)], scale, o, ring.Cursors.AddressOn(q.Cuda), scratch);
    }

    /// <summary>How a ring is dealt to blocks.</summary>
    internal sealed class Plan
    {
        private readonly CudaDevice _device;
        private readonly KeyValueRing _ring;
        private readonly bool _joins, _isMany;
        private readonly int _batch, _heads, _size, _keyHeads, _group, _slices, _warps, _splits;

        /// <summary>Decides.</summary>
        /// <param name="device">The ring's GPU.</param>
        /// <param name="ring">The ring.</param>
        /// <param name="positions">The most that it will hold.</param>
        /// <param name="joins">Whether <see cref="Launch"/> gives a result; else it may leave <see cref="Parts"/>.</param>
        /// <param name="isMany">
        /// Whether the texts are many, so that caches cannot hold what is read of them, and kernels with much shared memory come before
        /// and after.
        /// </param>
        public Plan(CudaDevice device, KeyValueRing ring, int positions, bool joins, bool isMany = false)
        {
            (_device, _ring, _isMany) = (device, ring, isMany);
            (_batch, _heads, _size, _keyHeads) = (ring.QueryShape[0], ring.QueryShape[2], ring.QueryShape[3], ring.Keys.Heads);
            _group = _heads / _keyHeads;
            joins |= _batch * _heads * _size * sizeof(float) > MostJoinedBytes;
            _joins = joins;
            _slices = RowLaunch.Quotient(_group, MostHeads);
            int blocks = _batch * _keyHeads * _slices, multiprocessors = device.Multiprocessors;
            bool fits = SliceHeads <= MostHeadsOfManyWarps && ManyWarps * SliceHeads * _size * sizeof(float) <= MostSharedBytes;
            _warps = joins && blocks <= multiprocessors && fits ? ManyWarps : FewWarps;
            int wanted = BlocksPerMultiprocessor * FewWarps * multiprocessors / (_warps * blocks);
            int most = Math.Min(joins ? MostSplits : MostParts, RowLaunch.Quotient(RowLaunch.Quotient(positions, TileKeys), _warps));
            _splits = Math.Clamp(wanted, 1, most);
        }

        /// <summary>What <see cref="Launch"/> needs beside the result, before it is all joined.</summary>
        public long ScratchBytes => _splits == 1 ? 0 : PartCount * (StretchBytes + (_size * sizeof(float)));

        /// <summary>What <see cref="Launch"/> leaves in its scratch memory instead of a result; none where one block has all of a
        /// head's keys.</summary>
        public Parts? PartsIn(CudaStorage? scratch) =>
            _joins || scratch is null ? null : new Parts(PartialOutputs(scratch), scratch.Address, _splits, _size);

        /// <summary>Warps that share a head's window.</summary>
        public int Stretches => _splits * _warps;

        /// <summary>Bytes of what they begin with: a tile of keys and one of values each.</summary>
        public long FirstBytes => 2L * _batch * _keyHeads * Stretches * TileKeys * _size * _ring.Keys.Type.Bytes();

        /// <summary>Stages of a warp; none where keys and values come to registers.</summary>
        private int WarpStages => _isMany && _device.Architecture >= StagedArchitecture && _warps == FewWarps ? Stages : 0;

        private int SliceHeads => RowLaunch.Quotient(_group, _slices);

        private long PartCount => (long)_batch * _heads * _splits;

        /// <summary>Puts the kernels on the stream.</summary>
        /// <param name="query">The kernel's first arguments: the query, or what it is to be made from.</param>
        /// <param name="queryDefines">Which of both, and how it is made.</param>
        /// <param name="scale">Of scores.</param>
        /// <param name="o">[B, 1, H, D].</param>
        /// <param name="cursors">Where in GPU memory each text's (next slot, count) lies; 0 where the first's holds for all.</param>
        /// <param name="scratch">Memory of <see cref="ScratchBytes"/>.</param>
        public void Launch(
            ReadOnlySpan<KernelArgument> query,
            ReadOnlySpan<KernelDefine> queryDefines,
            float scale,
            Tensor o,
            nint cursors,
            CudaStorage? scratch)
        {
            KernelDefine[] defines =
            [
                KernelDefine.Element(o.Type), ("HEAD_SIZE", _size), ("HEADS", SliceHeads), ("GATED", _ring.Alpha is not null),
                ("WARPS", _warps), ("STREAMS", _isMany), ("STAGES", WarpStages), ("STAGE_READS", StageReads),
                ("STAGES_AHEAD", StagesAhead), .. queryDefines,
            ];
            nint stretches = scratch?.Address ?? 0, partial = scratch is null ? 0 : PartialOutputs(scratch);
            RingCursor first = _ring.Cursors[0];
            KernelArgument[] arguments =
            [
                .. query, _ring.Keys.Slots, _ring.Values.Slots, _ring.Alpha?.Slots, cursors, first.Next, first.Count,
                _ring.Keys.Capacity, _group, _keyHeads, scale * (float)Units.Log2E, o, partial, stretches,
            ];
            var shape = new LaunchShape(
                _splits, Warp * _warps, BlocksY: _slices, BlocksZ: _batch * _keyHeads, Overlaps: true, MostShared: _isMany);
            _device.Kernel(Source, "ring_decode", defines).Launch(shape, arguments);
            if (_splits == 1 || !_joins) return;
            _device.Kernel(Source, "ring_combine", defines).Launch(
                new LaunchShape(_batch * _heads, MostSplits, Overlaps: true), partial, stretches, o, _splits);
        }

        private nint PartialOutputs(CudaStorage scratch) => scratch.Address + (nint)(PartCount * StretchBytes);
    }

    /// <summary>What the parts of a window have gathered, newest first, before they are joined (<c>stretch.cuh</c>).</summary>
    /// <param name="Outputs">Address of F32 [B · H, splits, D].</param>
    /// <param name="Stretches">Address of as many decays, highest scores and sums.</param>
    /// <param name="Splits">Parts of a head.</param>
    /// <param name="HeadSize">Features of a head.</param>
    internal sealed record Parts(nint Outputs, nint Stretches, int Splits, int HeadSize);
}
