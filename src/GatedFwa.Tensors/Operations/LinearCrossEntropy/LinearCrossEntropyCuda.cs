using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class LinearCrossEntropyCuda
{
    // Logits that exist at once. Fewer, and each product would read and write the weight's gradient more often.
    private const long ChunkElements = 1L << 29;

    private const int MaxChunkTokens = 16 * 1024, TokenRounding = 128;

    // A row of logits begins on a boundary of so many bytes, whatever the vocabulary: products and kernels read 16 at a time.
    private const int RowAlignment = 128;

    private const int RowThreads = 512, SumThreads = 1024, ScaleThreads = 256, ScaleElements = 8;
    private const int StaticSharedBytes = 1024; // What the kernel needs beside a row.

    private static readonly KernelSource Source = new(typeof(LinearCrossEntropyCuda), "linear_cross_entropy.cu");

    /// <summary>Tokens whose logits are made together: chunks of nearly one size.</summary>
    internal static int ChunkTokens(int tokens, int vocabulary)
    {
        long most = Math.Clamp(ChunkElements / Math.Max(1, vocabulary), TokenRounding, MaxChunkTokens);
        long chunks = Math.Max(1, (tokens + most - 1) / most), even = (tokens + chunks - 1) / chunks;
        return (int)Math.Min(tokens, (even + TokenRounding - 1) / TokenRounding * TokenRounding);
    }

    /// <summary>
    /// The loss, the share of one token in it (1 / counted) and, where room is given, the accuracy and both gradients of the <i>sum</i>
    /// of all losses: those of the mean would vanish in float16.
    /// </summary>
    public static void Forward(
        Tensor x, Tensor weight, Tensor targets, Tensor? perToken, Tensor? accuracy, Tensor loss, Tensor share, Tensor? dx, Tensor? dweight)
    {
        CudaDevice device = x.Cuda;
        int tokens = x.Shape.Rows, vocabulary = weight.Shape[0], elementBytes = x.Type.Bytes();
        CudaMatrix features = CudaMatrix.Of(x), w = CudaMatrix.Of(weight.As(x.Type));
        if (tokens == 0) dweight?.Clear();

        int chunk = ChunkTokens(tokens, vocabulary), perRow = RowAlignment / elementBytes, stride = (vocabulary + perRow - 1) / perRow * perRow;
        int rowBytes = stride * elementBytes;
        // Two passes over a row: the second reads what the first has kept in shared memory, where that is large enough.
        bool keepsRow = rowBytes + StaticSharedBytes <= device.MaxSharedBytes;
        CudaKernel softmax = device.Kernel(
            Source, "softmax_rows", KernelDefine.Element(x.Type), ("KEEPS_ROW", keepsRow), ("DIFFERENTIATES", dx is not null || dweight is not null));
        using CudaStorage logits = device.Memory.Rent((long)chunk * rowBytes);
        using CudaStorage? ownLosses = perToken is null ? device.Memory.Rent((long)tokens * sizeof(float)) : null;
        using CudaStorage? hits = accuracy is null ? null : device.Memory.Rent((long)tokens * sizeof(float));
        nint losses = perToken?.Address ?? ownLosses!.Address;
        for (int first = 0; first < tokens; first += chunk)
        {
            int rows = Math.Min(chunk, tokens - first);
            CudaMatrix part = features.RowRange(first, rows), z = new(logits.Address, x.Type, rows, vocabulary, stride);
            CudaMatrixProduct.Multiply(device, part, w.Transposed, z);
            nint itsLosses = losses + ((nint)first * sizeof(float)), itsTargets = targets.Address + ((nint)first * sizeof(int));
            nint itsHits = hits is null ? 0 : hits.Address + ((nint)first * sizeof(float));
            softmax.Launch(
                new LaunchShape(rows, RowThreads, keepsRow ? rowBytes : 0, Overlaps: true),
                logits, itsTargets, itsLosses, itsHits, vocabulary, stride);

            if (dx is not null) CudaMatrixProduct.Multiply(device, z, w, CudaMatrix.Of(dx).RowRange(first, rows));
            if (dweight is not null) CudaMatrixProduct.Multiply(device, z.Transposed, part, CudaMatrix.Of(dweight), accumulate: first > 0);
        }

        device.Kernel(Source, "mean_loss", KernelDefine.Element(DType.F32)).Launch(
            new LaunchShape(1, SumThreads), losses, targets, hits, tokens, loss, share, accuracy);
    }

    /// <summary>sum (+)= term · dloss · share, where both factors are tensors of one element.</summary>
    public static void Scale(Tensor term, Tensor dloss, Tensor share, Tensor sum, bool store)
    {
        int each = ScaleThreads * ScaleElements;
        term.Cuda.Kernel(Source, "scale", KernelDefine.Element(sum.Type), ("TERM", KernelDefine.Element(term.Type).Value), ("STORES", store)).Launch(
            new LaunchShape((int)((term.Count + each - 1) / each), ScaleThreads), term, dloss, share, sum, term.Count);
    }
}
