using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class EmbeddingCuda
{
    private const int Warp = 32;
    private const int TokensPerPiece = 32;

    private static readonly KernelSource Source = new(typeof(EmbeddingCuda), "embedding.cu");

    public static void Forward(Tensor tokens, Tensor table, Tensor y)
    {
        (int vocabulary, int width) = (table.Shape[0], table.Shape[1]);
        if (y.Count == 0) return;
        int pack = RowLaunch.PackOf(y.Type, width);
        y.Cuda.Kernel(Source, "embedding_forward", Defines(y.Type, width)).Launch(
            RowLaunch.Over(tokens.Count * (width / pack)), tokens, table, y, checked((int)tokens.Count), vocabulary);
    }

    /// <summary>Adds each token's gradient to its row of the table, in the order of the tokens.</summary>
    public static void Backward(Tensor tokens, Tensor dy, Tensor dtable)
    {
        (int vocabulary, int width) = (dtable.Shape[0], dtable.Shape[1]);
        if (dy.Count == 0) return;
        CudaDevice device = dy.Cuda;
        int count = checked((int)tokens.Count), pieces = RowLaunch.Quotient(count, TokensPerPiece);
        int threads = RowLaunch.Quotient(width, RowLaunch.PackOf(dy.Type, width));
        int blockThreads = Math.Min(RowLaunch.Threads, RowLaunch.Quotient(threads, Warp) * Warp);
        var shape = new LaunchShape(pieces, blockThreads, BlocksY: RowLaunch.Quotient(threads, blockThreads));
        using var sorted = new SortedTokens(tokens, vocabulary);
        using CudaStorage shares = device.Memory.Rent(2L * pieces * width * sizeof(float));
        KernelDefine[] defines = Defines(dy.Type, width);
        device.Kernel(Source, "embedding_backward", defines).Launch(
            shape, sorted.Tokens, sorted.Order, dy, dtable, shares, count, vocabulary);
        device.Kernel(Source, "embedding_backward_join", defines).Launch(shape, sorted.Tokens, dtable, shares, count, vocabulary);
    }

    private static KernelDefine[] Defines(DType type, int width) =>
        [KernelDefine.Element(type), ("WIDTH", width), ("PACK", RowLaunch.PackOf(type, width)), ("PIECE", TokensPerPiece)];
}
