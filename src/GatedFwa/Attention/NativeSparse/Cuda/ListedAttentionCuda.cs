using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>
/// Attention of every query to a list of keys of its own on a GPU: what <see cref="CompressedAttention"/> (no list: the pooled rows that
/// are complete) and <see cref="SelectedAttention"/> have in common.
/// </summary>
internal static class ListedAttentionCuda
{
    /// <summary>Bytes of <c>RowTerms</c>.</summary>
    public const int TermsBytes = 16;

    // Of a block of threads whose warps walk along lists: neighbouring queries, which share the first-level cache.
    private const int Warps = 4;
    private const double Log2E = Kernels.Units.Log2E;
    private const int Threads = 32 * Warps, RowsOfProduct = 16, TermThreads = 256, SumThreads = 256;

    private static readonly KernelSource ForwardSource = new(typeof(ListedAttentionCuda), "sparse_forward.cu");
    private static readonly KernelSource PooledForwardSource = new(typeof(ListedAttentionCuda), "pooled_forward.cu");
    private static readonly KernelSource PooledQueriesSource = new(typeof(ListedAttentionCuda), "pooled_backward.cu");
    private static readonly KernelSource QueriesSource = new(typeof(ListedAttentionCuda), "sparse_backward.cu");
    private static readonly KernelSource KeysSource = new(typeof(ListedAttentionCuda), "sparse_backward_keys.cu");
    private static readonly KernelSource HopperKeysSource = new(typeof(ListedAttentionCuda), "hopper_backward_keys.cu");
    private static readonly KernelSource KeySumsSource = new(typeof(ListedAttentionCuda), "sparse_key_sums.cu");

    /// <summary>Writes o and lse.</summary>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">[B, S, Hkv, D], or pooled.</param>
    /// <param name="v">As k.</param>
    /// <param name="indices">I32 [B, Hkv, T, n]: the blocks that queries chose; none for all pooled rows that are complete.</param>
    /// <param name="o">[B, T, H, D].</param>
    /// <param name="lse">F32 [B, H, T].</param>
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor? indices, Tensor o, Tensor lse)
    {
        GatedWindowShape shape = problem.Shape;
        if (shape.QueryCount == 0) return;
        CudaDevice device = q.Cuda;
        using var blocks = new CudaBlocks(problem, device);
        if (indices is null)
        {
            PooledTile tile = PooledTile.Of(shape, q.Type, device, kept: 1, passing: 2);
            device.Kernel(PooledForwardSource, "pooled_forward", tile.Defines(shape, q.Type)).Launch(
                tile.Launch(shape, shape.Tokens),
                q,
                k,
                v,
                blocks.Documents(),
                o,
                lse,
                (float)(problem.Scale * Log2E),
                shape.Tokens,
                shape.Positions,
                k.Shape[1],
                shape.Heads,
                problem.BlockSize);
            return;
        }

        device.Kernel(ForwardSource, "sparse_forward", WalkDefines(shape, q.Type, kept: 1)).Launch(
            WalkShape(shape, q.Type, kept: 1),
            q,
            k,
            v,
            indices,
            blocks.Documents(),
            o,
            lse,
            (float)(problem.Scale * Log2E),
            shape.Tokens,
            shape.Positions,
            k.Shape[1],
            shape.Heads,
            problem.BlockSize,
            problem.BlockCount);
    }

    /// <summary>Writes the gradients that are wanted, or adds to them.</summary>
    /// <param name="problem">As in the forward pass, and so the next six.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">[B, S, Hkv, D], or pooled.</param>
    /// <param name="v">As k.</param>
    /// <param name="indices">The blocks that queries chose, or none.</param>
    /// <param name="o">What the forward pass gave.</param>
    /// <param name="lse">What the forward pass gave.</param>
    /// <param name="outputGradient">[B, T, H, D].</param>
    /// <param name="gradients">Where they go.</param>
    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor? indices, Tensor o, Tensor lse, Tensor outputGradient, QkvGradients gradients)
    {
        GatedWindowShape shape = problem.Shape;
        (GradientTarget dq, GradientTarget dk, GradientTarget dv) = gradients;
        // Keys that no block holds, and pooled rows that hold no block, have no writer.
        bool isFull = indices is null
            ? problem.Blocks.Segments.Sum(blocks => (long)blocks.Complete) == (long)shape.Batch * problem.Blocks.PooledRows
            : problem.CoversEverything;
        if (!isFull || shape.QueryCount == 0) (dk, dv) = (dk.Cleared(), dv.Cleared());
        if (shape.QueryCount == 0) return;

        CudaDevice device = q.Cuda;
        using var blocks = new CudaBlocks(problem, device);
        CudaStorage? documents = blocks.Documents();
        using CudaStorage terms = device.Memory.Rent(shape.LseCount * TermsBytes);
        KernelDefine[] defines = WalkDefines(shape, q.Type, kept: 2);
        device.Kernel(QueriesSource, "sparse_terms", defines).Launch(
            new LaunchShape(checked((int)RowLaunch.Quotient(shape.LseCount, TermThreads / 32)), TermThreads),
            o,
            outputGradient,
            lse,
            terms,
            shape.LseCount,
            shape.Tokens,
            shape.Positions,
            shape.Heads);
        if (dq.Tensor is not null && indices is null)
        {
            PooledTile pooled = PooledTile.Of(shape, q.Type, device, kept: 2, passing: 2);
            device.Kernel(PooledQueriesSource, "pooled_backward_queries", pooled.Defines(shape, q.Type)).Launch(
                pooled.Launch(shape, shape.Tokens),
                q,
                k,
                v,
                outputGradient,
                terms,
                documents,
                dq.Tensor,
                dq.IsFresh,
                problem.Scale,
                shape.Tokens,
                shape.Positions,
                k.Shape[1],
                shape.Heads,
                problem.BlockSize);
        }
        else if (dq.Tensor is not null)
        {
            device.Kernel(QueriesSource, "sparse_backward_queries", defines).Launch(
                WalkShape(shape, q.Type, kept: 2),
                q,
                k,
                v,
                outputGradient,
                terms,
                indices,
                documents,
                dq.Tensor,
                dq.IsFresh,
                problem.Scale,
                shape.Tokens,
                shape.Positions,
                k.Shape[1],
                shape.Heads,
                problem.BlockSize,
                problem.BlockCount);
        }

        if ((dk.Tensor is null && dv.Tensor is null) || k.Count == 0) return;
        KeyTileCuda tile = KeyTileCuda.Of(shape, q.Type, indices is null ? int.MaxValue : problem.BlockSize, device);
        using KeyWork work = indices is null
            ? KeyWork.Pooled(problem, blocks, tile.Keys)
            : KeyWork.Listed(problem, blocks, documents, indices, tile.Keys);
        using CudaStorage partial = device.Memory.Rent(Math.Max(1, work.Slots) * work.Parts * 2 * tile.Keys * shape.HeadSize * sizeof(float));
        KernelDefine[] keyDefines = tile.Defines(shape, q.Type, indices is not null);
        CudaKernel kernel = tile.IsHopper
            ? device.Kernel(HopperKeysSource, "hopper_backward_keys", keyDefines)
            : device.Kernel(KeysSource, "sparse_backward_keys", keyDefines);
        kernel.Launch(
            new LaunchShape(work.Pieces, 2 * tile.Keys, tile.SharedBytes, BlocksY: indices is null ? shape.KeyHeads : work.Parts, BlocksZ: tile.Splits),
            [
                q, k, v, outputGradient, terms, work.Order, .. Work(work.Table),
                problem.Scale, shape.Tokens, shape.Positions, k.Shape[1], shape.Heads, problem.BlockSize, problem.BlockCount,
            ]);
        if (work.Slots == 0) return;
        device.Kernel(KeySumsSource, "sparse_key_sums", keyDefines).Launch(
            new LaunchShape(work.Lists, SumThreads, BlocksY: indices is null ? shape.KeyHeads : work.Parts),
            [.. Work(work.SumTable), shape.Positions, k.Shape[1], shape.KeyHeads, problem.BlockSize]);

        // The lists, what becomes of them, and how they are cut.
        KernelArgument[] Work(CudaStorage? table) =>
        [
            work.Starts, work.FirstPieces, work.FirstSlots, table, dk.Tensor, dv.Tensor, dk.IsFresh, dv.IsFresh, partial,
            work.Lists, blocks.PerHead, blocks.PerRow, work.SlotsPerHead,
        ];
    }

    /// <summary>Rows of 16 that a query's heads take: a power of two, so that none crosses two products.</summary>
    /// <param name="shape">The extents.</param>
    public static int RowGroup(GatedWindowShape shape)
    {
        int rows = 1;
        while (rows < Math.Min(shape.GroupSize, RowsOfProduct)) rows *= 2;
        return rows;
    }

    // What sparse_walk.cuh is compiled with; of operands [16, D] a warp keeps so many in shared memory.
    private static KernelDefine[] WalkDefines(GatedWindowShape shape, DType type, int kept)
    {
        // Registers for two sets of 16 keys and the sums of 16 rows; backwards both sets are always full.
        int blocks = type == DType.F32 || shape.HeadSize > 128 ? 1 : (shape.HeadSize > 64 ? 3 : 4) - (kept > 1 ? 1 : 0);
        while (blocks > 1 && blocks * KeptBytes(shape, type, kept) > 96 << 10) blocks--;
        return
        [
            KernelDefine.Element(type), ("HEAD_SIZE", shape.HeadSize), ("GROUP", shape.GroupSize), ("ROW_GROUP", RowsOfProduct),
            ("WARPS", Warps), ("BLOCKS", blocks),
        ];
    }

    // A warp for each query and 16 heads of a key head: the last queries first.
    private static LaunchShape WalkShape(GatedWindowShape shape, DType type, int kept)
    {
        int parts = RowLaunch.Quotient(shape.GroupSize, RowsOfProduct);
        int blocks = RowLaunch.Quotient(shape.Tokens, Warps);
        return new(blocks, Threads, KeptBytes(shape, type, kept), BlocksY: shape.KeyHeads * parts, BlocksZ: shape.Batch);
    }

    private static int KeptBytes(GatedWindowShape shape, DType type, int kept) =>
        kept * Warps * RowsOfProduct * KeyTileCuda.RoundUp(shape.HeadSize, 32) * type.Bytes();
}
