using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>
/// The kernels for Hopper: tiles come through the copy engine, products run on warpgroups. They take 16-bit types and head sizes
/// up to 128; everything else is left to the portable kernels.
/// </summary>
internal static class GatedWindowHopper
{
    private const int Hopper = 90, Panel = 64, MaxHeadSize = 128, GroupRows = 64, KeyRows = 128, GroupThreads = 128;
    private const double Log2E = 1.4426950408889634;

    private static readonly KernelSource ForwardSource = new(typeof(GatedWindowHopper), "hopper_forward.cu");
    private static readonly KernelSource BackwardSource = new(typeof(GatedWindowHopper), "hopper_backward.cu");

    /// <summary>Whether these kernels take a problem.</summary>
    public static bool Takes(CudaDevice device, GatedWindowProblem problem, DType type) =>
        device.Architecture == Hopper && type is DType.BF16 or DType.F16 && problem.Shape.HeadSize <= MaxHeadSize && problem.Scale > 0;

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
        GatedWindowProblem problem, Tensor q, Tensor k, Tensor v, (CudaStorage Local, CudaStorage Totals)? prefix, CudaStorage? segmentStarts, Tensor o, Tensor lse)
    {
        GatedWindowShape shape = problem.Shape;
        CudaDevice device = q.Cuda;
        int panels = (shape.HeadSize + Panel - 1) / Panel;
        // Small heads leave registers for a third warpgroup, whose softmax fills gaps of the others.
        (int groups, int stages) = panels == 1 ? (3, 4) : (2, 2);
        int queryRows = groups * GroupRows;
        int tilesPerSequence = (shape.Tokens + queryRows - 1) / queryRows;
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
            new LaunchShape(Math.Min(tiles, device.Multiprocessors), (groups + 1) * GroupThreads, SharedBytes(panels, groups, stages)),
            Tiles(q, GroupRows),
            Tiles(k, KeyRows),
            Tiles(v, KeyRows),
            Tiles(o, GroupRows),
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
            tiles);
    }

    /// <summary>Gradients; what another pass has left there is replaced.</summary>
    /// <param name="problem">What has passed the door.</param>
    /// <param name="inputs">q [B, T, H, D], k and v [B, S, Hkv, D], and the gradient of o.</param>
    /// <param name="prefix">The decay's two-level prefix, or none.</param>
    /// <param name="segments">First position and one past the last of each position's segment, I32 [B, S]; none where every row is
    /// one sequence.</param>
    /// <param name="lse">F32 [B, H, T].</param>
    /// <param name="delta">F32 [B, H, T]: Σ o · dO.</param>
    /// <param name="gradients">Of q, k and v.</param>
    /// <param name="sums">F32 Σ_i dS_ij [B, H, S] and Σ_j dS_ij [B, H, T]; with a gate only.</param>
    public static void Backward(
        GatedWindowProblem problem,
        (Tensor Q, Tensor K, Tensor V, Tensor OutputGradient) inputs,
        (CudaStorage Local, CudaStorage Totals)? prefix,
        (CudaStorage Starts, CudaStorage Ends)? segments,
        Tensor lse,
        CudaStorage delta,
        (Tensor Q, Tensor K, Tensor V) gradients,
        (CudaStorage Columns, CudaStorage Rows)? sums)
    {
        GatedWindowShape shape = problem.Shape;
        CudaDevice device = inputs.Q.Cuda;
        int panels = (shape.HeadSize + Panel - 1) / Panel;
        (int buffers, int stages) = panels == 1 ? (2, 4) : (1, 4);
        TensorMap q = Tiles(inputs.Q, GroupRows), k = Tiles(inputs.K, GroupRows), v = Tiles(inputs.V, GroupRows);
        TensorMap outputGradient = Tiles(inputs.OutputGradient, GroupRows);
        Pass(rowsAreKeys: true, k, v, q, outputGradient, Tiles(gradients.K, GroupRows), Tiles(gradients.V, GroupRows), sums?.Columns);
        TensorMap dq = Tiles(gradients.Q, GroupRows);
        Pass(rowsAreKeys: false, q, outputGradient, k, v, dq, dq, sums?.Rows);

        void Pass(bool rowsAreKeys, TensorMap x, TensorMap y, TensorMap cx, TensorMap cy, TensorMap dx, TensorMap dy, CudaStorage? rowSums)
        {
            const int TileRows = 2 * GroupRows;
            int tilesPerSequence = ((rowsAreKeys ? shape.Positions : shape.Tokens) + TileRows - 1) / TileRows;
            int tiles = checked(tilesPerSequence * shape.Batch * (rowsAreKeys ? shape.KeyHeads : shape.Heads));
            CudaKernel kernel = device.Kernel(
                BackwardSource,
                "hopper_backward",
                KernelDefine.Element(inputs.Q.Type),
                ("PANELS", panels),
                ("STAGES", stages),
                ("ROW_BUFFERS", buffers),
                ("ROWS_ARE_KEYS", rowsAreKeys),
                ("HAS_GATE", prefix is not null),
                ("HAS_SEGMENTS", segments is not null));
            kernel.Launch(
                new LaunchShape(Math.Min(tiles, device.Multiprocessors), 3 * GroupThreads, BackwardSharedBytes(panels, buffers, stages)),
                x,
                y,
                cx,
                cy,
                dx,
                dy,
                prefix?.Local,
                prefix?.Totals,
                lse,
                delta,
                segments?.Starts,
                segments?.Ends,
                rowSums,
                problem.Scale,
                (float)(problem.Scale * Log2E),
                shape.Tokens,
                shape.Positions,
                shape.Heads,
                shape.KeyHeads,
                problem.Window,
                tilesPerSequence,
                tiles);
        }
    }

    /// <summary>Boxes of one head's rows, a panel wide.</summary>
    private static TensorMap Tiles(Tensor tensor, int rows)
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

    /// <summary>The size of the backward kernel's <c>Shared</c>.</summary>
    private static int BackwardSharedBytes(int panels, int buffers, int stages)
    {
        const int RowBytes = 128, BarrierBytes = 8;
        int block = GroupRows * panels * RowBytes;
        return (4 * buffers * block) + (2 * stages * block) + (2 * stages * GroupRows * sizeof(float)) + (2 * (buffers + stages) * BarrierBytes);
    }

    /// <summary>The size of the forward kernel's <c>Shared</c>.</summary>
    private static int SharedBytes(int panels, int groups, int stages)
    {
        const int RowBytes = 128, BarrierBytes = 8;
        int queries = 2 * groups * GroupRows * panels * RowBytes;
        int keysAndValues = 2 * stages * KeyRows * panels * RowBytes;
        return queries + keysAndValues + (stages * KeyRows * sizeof(float)) + ((4 + (4 * stages)) * BarrierBytes);
    }
}
