using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>
/// The kernels for Hopper: tiles come through the copy engine, products run on warpgroups. They take 16-bit types and head sizes
/// up to 128; everything else is left to the portable kernels.
/// </summary>
internal static class GatedWindowHopper
{
    /// <summary>The architecture that has the instructions of <c>hopper.cuh</c>.</summary>
    public const int Hopper = 90;

    private const int Panel = 64, MaxHeadSize = 128, GroupRows = 64, KeyRows = 128, GroupThreads = 128, RowBuffers = 2;
    private const int TermBytes = 32; // Of column_terms.cuh, a column.
    private const int StripTokens = 8192, StripWindows = 4; // At least: few pages of memory, yet more than the window that two strips share.
    private const int CorrectionTiles = 8, Warp = 32; // Of a block of delta_correction.cu, a warp each.
    private const double Log2E = 1.4426950408889634;

    private static readonly KernelSource ForwardSource = new(typeof(GatedWindowHopper), "hopper_forward.cu");
    private static readonly KernelSource BackwardSource = new(typeof(GatedWindowHopper), "hopper_backward.cu");
    private static readonly KernelSource CorrectionSource = new(typeof(GatedWindowHopper), "delta_correction.cu");

    /// <summary>
    /// Whether these kernels take a problem. Their tiles count from the start of a row: of packed documents one would hold two, whose
    /// NaN could meet and whose bits would depend on their neighbours.
    /// </summary>
    public static bool Takes(CudaDevice device, GatedWindowProblem problem, DType type) =>
        device.Architecture == Hopper &&
        type is DType.BF16 or DType.F16 &&
        problem.Shape.HeadSize <= MaxHeadSize &&
        problem.Scale > 0 &&
        Array.TrueForAll(problem.Segments, segment => segment.End == problem.Shape.Positions);

    /// <summary>Outputs and lse.</summary>
    /// <param name="problem">What has passed the door.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">[B, S, Hkv, D].</param>
    /// <param name="v">[B, S, Hkv, D].</param>
    /// <param name="prefix">The decay's two-level prefix, or none.</param>
    /// <param name="segmentStarts">I32 [B, S], or none where every row is one sequence.</param>
    /// <param name="o">[B, T, H, D].</param>
    /// <param name="lse">F32 [B, H, T].</param>
    public static void Forward(
        GatedWindowProblem problem,
        Tensor q,
        Tensor k,
        Tensor v,
        (CudaStorage Local, CudaStorage Totals)? prefix,
        CudaStorage? segmentStarts,
        Tensor o,
        Tensor lse)
    {
        GatedWindowShape shape = problem.Shape;
        CudaDevice device = q.Cuda;
        int panels = Tiles(shape.HeadSize, Panel);
        // Small heads leave registers for a third warpgroup, whose softmax fills gaps of the others.
        (int groups, int stages) = panels == 1 ? (3, 4) : (2, 2);
        int queryRows = groups * GroupRows;
        int tilesPerSequence = Tiles(shape.Tokens, queryRows);
        int tiles = checked(tilesPerSequence * shape.Batch * shape.Heads);
        CudaKernel kernel = device.Kernel(
            ForwardSource,
            "hopper_forward",
            KernelDefine.Element(q.Type),
            ("PANELS", panels),
            ("GROUPS", groups),
            ("STAGES", stages),
            ("HAS_GATE", prefix is not null),
            ("HAS_SEGMENTS", segmentStarts is not null));
        kernel.Launch(
            new LaunchShape(
                Math.Min(tiles, device.Multiprocessors),
                (groups + 1) * GroupThreads,
                SharedBytes(panels, groups, stages),
                Overlaps: true),
            Boxes(q, GroupRows),
            Boxes(k, KeyRows),
            Boxes(v, KeyRows),
            Boxes(o, GroupRows),
            prefix?.Local,
            prefix?.Totals,
            segmentStarts,
            lse,
            (float)(problem.Scale * Log2E),
            shape.Tokens,
            shape.Positions,
            shape.Heads,
            shape.GroupSize,
            problem.Window,
            tilesPerSequence,
            LightTiles(problem, queryRows, tilesPerSequence),
            StripTiles(problem, queryRows, tilesPerSequence),
            tiles);
    }

    /// <summary>
    /// Gradients. The pass that keeps queries comes first: its row sums correct δ, which it received from rounded outputs, for the
    /// other, and say for which tiles it must run again.
    /// </summary>
    public static void Backward(GatedWindowProblem problem, CudaSegments segments, CudaBackwardOperands operands)
    {
        GatedWindowShape shape = problem.Shape;
        CudaDevice device = operands.Q.Cuda;
        int rows = GroupRows * BackwardGroups(Tiles(shape.HeadSize, Panel), rowsAreKeys: false);
        int tilesPerSequence = Tiles(shape.Tokens, rows), tiles = tilesPerSequence * shape.Batch * shape.Heads;
        using CudaStorage sums = device.Memory.Rent(shape.LseCount * sizeof(float));
        using CudaStorage sizes = device.Memory.Rent(shape.LseCount * sizeof(float));
        using CudaStorage repeat = device.Memory.Rent((long)tiles * sizeof(int));
        using var dq = new Replaced(operands.Gradients.Dq, operands.Q);
        using var dk = new Replaced(operands.Gradients.Dk, operands.K);
        using var dv = new Replaced(operands.Gradients.Dv, operands.V);
        TensorMap q = Boxes(operands.Q, GroupRows), k = Boxes(operands.K, GroupRows), v = Boxes(operands.V, GroupRows);
        TensorMap upstream = Boxes(operands.OutputGradient, GroupRows), dqBoxes = Boxes(dq.Tensor, GroupRows);

        var queries = new BackwardPass(q, upstream, k, v, dqBoxes, dqBoxes, sums, sizes);
        queries.Launch(problem, segments, operands, rowsAreKeys: false, repeat: null);
        device.Kernel(CorrectionSource, "delta_correction", ("TILE_ROWS", rows)).Launch(
            new LaunchShape(
                Tiles(tilesPerSequence, CorrectionTiles), CorrectionTiles * Warp, BlocksY: shape.Batch * shape.Heads, Overlaps: true),
            sums,
            sizes,
            operands.Delta,
            repeat,
            shape.Tokens,
            tilesPerSequence);
        if (operands.Gradients.Dq.Tensor is not null) queries.Launch(problem, segments, operands, rowsAreKeys: false, repeat);
        if (operands.WantsKeys)
        {
            new BackwardPass(k, v, q, upstream, Boxes(dk.Tensor, GroupRows), Boxes(dv.Tensor, GroupRows), operands.ColumnSums, null)
                .Launch(problem, segments, operands, rowsAreKeys: true, repeat: null);
        }

        dq.Finish();
        dk.Finish();
        dv.Finish();
    }

    /// <summary>Boxes of one head's rows, a panel wide.</summary>
    private static TensorMap Boxes(Tensor tensor, int rows)
    {
        (int batch, int positions, int heads, int size) = (tensor.Shape[0], tensor.Shape[1], tensor.Shape[2], tensor.Shape[3]);
        return new TensorMap(
            tensor.Address,
            tensor.Type,
            [size, heads, positions, batch],
            [size, (long)heads * size, (long)positions * heads * size],
            [Panel, 1, rows, 1],
            swizzled: true);
    }

    /// <summary>The size of the forward kernel's <c>Shared</c>.</summary>
    private static int SharedBytes(int panels, int groups, int stages)
    {
        const int RowBytes = 128, BarrierBytes = 8;
        int queries = 2 * groups * GroupRows * panels * RowBytes;
        int keysAndValues = 2 * stages * KeyRows * panels * RowBytes;
        return queries + keysAndValues + (((stages * KeyRows) + GroupRows) * TermBytes) + ((4 + (4 * stages)) * BarrierBytes);
    }

    private static int Tiles(int rows, int tile) => (rows + tile - 1) / tile;

    /// <summary>Tiles of a sequence near the end where they see less than a window; none where all of them differ.</summary>
    private static int LightTiles(GatedWindowProblem problem, int rows, int tilesPerSequence) =>
        problem.Window >= problem.Shape.Positions ? 0 : Math.Min(Tiles(problem.Window, rows), tilesPerSequence);

    /// <summary>Tiles of a sequence that come one after the other, before those of the next head (<c>tile_order.cuh</c>).</summary>
    private static int StripTiles(GatedWindowProblem problem, int rows, int tilesPerSequence) =>
        (int)Math.Min(RowLaunch.Quotient(Math.Max(StripTokens, (long)StripWindows * problem.Window), rows), tilesPerSequence);

    /// <summary>
    /// Warpgroups that compute a tile backwards: where only one gradient of a small head is kept, there are registers for a third.
    /// </summary>
    private static int BackwardGroups(int panels, bool rowsAreKeys) => panels == 1 && !rowsAreKeys ? 3 : 2;

    /// <summary>A gradient that the kernels write whole: the accumulator itself, or one that is added to it afterwards.</summary>
    private sealed class Replaced(GradientTarget target, Tensor input) : IDisposable
    {
        private readonly Tensor? _own =
            target is { Tensor: not null, IsFresh: true } ? null : Tensor.Empty(input.Shape, input.Type, input.Device);

        public Tensor Tensor => _own ?? target.Tensor!;

        public void Finish()
        {
            if (_own is not null && target.Tensor is not null) AddCuda.Accumulate(_own, target.Tensor);
        }

        public void Dispose() => _own?.Dispose();
    }

    /// <summary>One of the two passes of the backward kernel: operands of rows, of columns, and what becomes of them.</summary>
    private sealed record BackwardPass(
        TensorMap X, TensorMap Y, TensorMap ColumnX, TensorMap ColumnY, TensorMap Dx, TensorMap Dy, CudaStorage? Sums, CudaStorage? Sizes)
    {
        public void Launch(
            GatedWindowProblem problem, CudaSegments segments, CudaBackwardOperands operands, bool rowsAreKeys, CudaStorage? repeat)
        {
            GatedWindowShape shape = problem.Shape;
            CudaDevice device = operands.Q.Cuda;
            int panels = Tiles(shape.HeadSize, Panel);
            int stages = panels == 1 ? 4 : 3, groups = BackwardGroups(panels, rowsAreKeys);
            int tilesPerSequence = Tiles(rowsAreKeys ? shape.Positions : shape.Tokens, groups * GroupRows);
            int tiles = checked(tilesPerSequence * shape.Batch * (rowsAreKeys ? shape.KeyHeads : shape.Heads));
            CudaKernel kernel = device.Kernel(
                BackwardSource,
                "hopper_backward",
                KernelDefine.Element(operands.Q.Type),
                ("PANELS", panels),
                ("GROUPS", groups),
                ("STAGES", stages),
                ("ROW_BUFFERS", RowBuffers),
                ("ROWS_ARE_KEYS", rowsAreKeys),
                ("HAS_GATE", operands.Prefix is not null),
                ("HAS_SEGMENTS", segments.Starts is not null));
            kernel.Launch(
                new LaunchShape(
                    Math.Min(tiles, device.Multiprocessors),
                    (groups + 1) * GroupThreads,
                    SharedBytes(panels, groups, stages, rowsAreKeys),
                    Overlaps: true),
                X,
                Y,
                ColumnX,
                ColumnY,
                Dx,
                Dy,
                operands.Prefix?.Local,
                operands.Prefix?.Totals,
                operands.Lse,
                operands.Delta,
                segments.Starts,
                segments.Ends,
                Sums,
                Sizes,
                repeat,
                problem.Scale,
                (float)(problem.Scale * Log2E),
                shape.Tokens,
                shape.Positions,
                shape.Heads,
                shape.KeyHeads,
                problem.Window,
                tilesPerSequence,
                LightTiles(problem, groups * GroupRows, tilesPerSequence),
                StripTiles(problem, BackwardGroups(panels, rowsAreKeys: false) * GroupRows, tilesPerSequence), // As many for keys, too.
                tiles);
        }

        /// <summary>The size of the kernel's <c>Shared</c>.</summary>
        private static int SharedBytes(int panels, int groups, int stages, bool rowsAreKeys)
        {
            const int RowBytes = 128, BarrierBytes = 8;
            int block = GroupRows * panels * RowBytes, rows = groups * GroupRows;
            int tiles = (2 * RowBuffers * groups * block) + (2 * stages * block);
            int columnTerms = 2 * stages * GroupRows;
            int rowTerms = rows + (rowsAreKeys ? 2 : rows); // two instead of one: barriers lie at multiples of eight bytes
            return tiles + ((columnTerms + rowTerms) * sizeof(float)) + (2 * (RowBuffers + stages + 1) * BarrierBytes);
        }
    }
}
