using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

internal static class BlockPoolingCuda
{
    private const int Pack = 8;

    private static readonly KernelSource Source = new(typeof(BlockPoolingCuda), "block_pooling.cu");

    public static void Forward(NativeSparseProblem problem, Tensor x, Tensor pooled, int firstBlock)
    {
        int blocksOfRow = problem.Blocks.PooledRows - firstBlock;
        long items = (long)pooled.Shape[0] * blocksOfRow * (problem.Shape.KeyHeads * problem.Shape.HeadSize / Pack);
        if (items <= 0) return;
        using var blocks = new CudaBlocks(problem, x.Cuda);
        Kernel(problem, x, "block_pooling_forward").Launch(
            RowLaunch.Over(items), x, blocks.PooledStarts(), pooled, items, firstBlock, blocksOfRow, pooled.Shape[1], x.Shape[1]);
    }

    public static void Backward(NativeSparseProblem problem, Tensor dPooled, GradientTarget dx)
    {
        if (dx.Tensor is not { Count: > 0 } gradient) return;
        using var blocks = new CudaBlocks(problem, gradient.Cuda);
        Kernel(problem, gradient, "block_pooling_backward").Launch(
            RowLaunch.Over(gradient.Count / Pack),
            dPooled,
            blocks.Documents(),
            gradient,
            dx.IsFresh,
            RowsOf(gradient),
            problem.Blocks.PooledRows,
            problem.Shape.Positions);
    }

    private static long RowsOf(Tensor tensor) => (long)tensor.Shape[0] * tensor.Shape[1];

    private static CudaKernel Kernel(NativeSparseProblem problem, Tensor x, string function) => x.Cuda.Kernel(
        Source,
        function,
        KernelDefine.Element(x.Type),
        ("WIDTH", problem.Shape.KeyHeads * problem.Shape.HeadSize),
        ("SIZE", problem.BlockSize));
}
