using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

internal static class BlockSelectionCuda
{
    private const double Log2E = Kernels.Units.Log2E;
    private const int ChunkStep = 64;
    private const long ImportanceBytes = 64 << 20; // Of a chunk of queries: it fits the second-level cache, or nearly.

    private static readonly KernelSource Source = new(typeof(BlockSelectionCuda), "block_selection.cu");

    public static void Select(NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor lse, Tensor indices)
    {
        GatedWindowShape shape = problem.Shape;
        if (indices.Count == 0) return;
        CudaDevice device = q.Cuda;
        using var blocks = new CudaBlocks(problem, device);
        CudaStorage? documents = blocks.Documents();
        int width = problem.Blocks.MostBlocks, chunk = ChunkOf(problem);
        using CudaStorage importance = device.Memory.Rent((long)shape.Batch * shape.KeyHeads * chunk * width * sizeof(float));
        PooledTile tile = PooledTile.Of(shape, q.Type, device, kept: 1, passing: 1);
        KernelDefine[] defines = tile.Defines(shape, q.Type);
        CudaKernel weigh = device.Kernel(Source, "block_importance", defines), choose = device.Kernel(Source, "block_choice", defines);
        for (int first = 0; first < shape.Tokens; first += chunk)
        {
            int queries = Math.Min(chunk, shape.Tokens - first);
            // Where all blocks of the longest document are chosen, none needs to be weighed.
            if (problem.BlockCount < problem.Blocks.MostBlocks)
            {
                weigh.Launch(
                    tile.Launch(shape, queries, joinsParts: true),
                    q,
                    pooledK,
                    lse,
                    documents,
                    importance,
                    (float)(problem.Scale * Log2E),
                    first,
                    chunk,
                    width,
                    shape.Tokens,
                    shape.Positions,
                    pooledK.Shape[1],
                    shape.Heads,
                    problem.BlockSize);
            }

            choose.Launch(
                new LaunchShape(RowLaunch.Quotient(queries, tile.Warps), 32 * tile.Warps, BlocksY: shape.KeyHeads, BlocksZ: shape.Batch),
                importance,
                documents,
                indices,
                first,
                chunk,
                width,
                shape.Tokens,
                shape.Positions,
                shape.KeyHeads,
                problem.BlockSize,
                problem.BlockCount);
        }
    }

    /// <summary>Queries that are weighed at a time.</summary>
    internal static int ChunkOf(NativeSparseProblem problem)
    {
        long rowBytes = (long)problem.Shape.Batch * problem.Shape.KeyHeads * problem.Blocks.MostBlocks * sizeof(float);
        return (int)Math.Min(problem.Shape.Tokens, Math.Max(ChunkStep, ImportanceBytes / rowBytes / ChunkStep * ChunkStep));
    }
}
