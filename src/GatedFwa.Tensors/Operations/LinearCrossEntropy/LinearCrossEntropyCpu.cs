using System.Numerics.Tensors;
using System.Runtime.Intrinsics;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class LinearCrossEntropyCpu
{
    // Logits that exist at once, where the vocabulary is large: 16 MB, about what a last-level cache holds.
    private const int ChunkFloats = 1 << 22;

    // With fewer rows the products would spend their time packing the weight; with more they would be no faster.
    private const int MinChunkTokens = 256, MaxChunkTokens = 512;

    // Rows of logits that one item turns into losses and gradients.
    private const int ItemTokens = 8;

    private const int ScaleFloats = 16 * 1024;

    /// <summary>Tokens whose logits are made together.</summary>
    internal static int ChunkTokens(int tokens, int vocabulary) =>
        Math.Min(tokens, Math.Clamp(ChunkFloats / Math.Max(1, vocabulary), MinChunkTokens, MaxChunkTokens));

    public static void CheckTargets(Tensor targets, int vocabulary)
    {
        foreach (int target in targets.AsIntegerSpan())
        {
            if (target >= vocabulary)
                throw new OperandException(nameof(LinearCrossEntropy), $"targets below the vocabulary of {vocabulary}", $"{target}");
        }
    }

    /// <summary>The loss and, where room is given, the accuracy and both gradients for an upstream gradient of 1.</summary>
    public static void Forward(
        Tensor x, Tensor weight, Tensor targets, Tensor? perToken, Tensor? accuracy, Tensor loss, Tensor? dx, Tensor? dweight)
    {
        int tokens = x.Shape.Rows, width = weight.Shape[1], vocabulary = weight.Shape[0];
        var features = StridedMatrix.RowMajor(x.Floats, tokens, width);
        var w = StridedMatrix.RowMajor(weight.Floats, vocabulary, width);
        int counted = 0;
        foreach (int target in targets.AsIntegerSpan()) counted += target >= 0 ? 1 : 0;
        bool differentiates = dx is not null || dweight is not null;
        float scale = 1f / Math.Max(1, counted);
        if (tokens == 0) dweight?.Clear();
        int hits = 0;

        int chunk = ChunkTokens(tokens, vocabulary);
        using CpuStorage logits = CpuMemory.Rent((long)chunk * vocabulary), losses = CpuMemory.Rent(tokens);
        for (int first = 0; first < tokens; first += chunk)
        {
            int rows = Math.Min(chunk, tokens - first);
            StridedMatrix part = features.Block(first, rows, 0, width);
            MatrixProduct.Multiply(part, w.Transposed, logits.Floats, vocabulary);
            if (accuracy is not null) hits += Hits(logits.Floats, targets.Integers + first, rows, vocabulary);
            Softmax(logits.Floats, targets.Integers + first, losses.Floats + first, rows, vocabulary, differentiates ? scale : null);

            var dlogits = StridedMatrix.RowMajor(logits.Floats, rows, vocabulary);
            if (dx is not null) MatrixProduct.Multiply(dlogits, w, dx.Floats + ((nint)first * width), width);
            if (dweight is not null) MatrixProduct.Multiply(dlogits.Transposed, part, dweight.Floats, width, accumulate: first > 0);
        }

        double sum = 0;
        foreach (float value in new ReadOnlySpan<float>(losses.Floats, tokens)) sum += value;
        *loss.Floats = (float)(sum / Math.Max(1, counted));
        if (accuracy is not null) *accuracy.Floats = (float)(hits / (double)Math.Max(1, counted));
        if (perToken is not null) new ReadOnlySpan<float>(losses.Floats, tokens).CopyTo(perToken.AsSpan());
    }

    /// <summary>sum += term · factor, where the factor is a tensor of one element.</summary>
    public static void AddScaled(Tensor term, Tensor factor, Tensor sum)
    {
        float* from = term.Floats, to = sum.Floats;
        float scale = *factor.Floats;
        long count = term.Count;
        WorkerPool.Shared.For((int)((count + ScaleFloats - 1) / ScaleFloats), item =>
        {
            long start = (long)item * ScaleFloats;
            int length = (int)Math.Min(ScaleFloats, count - start);
            var total = new Span<float>(to + start, length);
            TensorPrimitives.MultiplyAdd(new ReadOnlySpan<float>(from + start, length), scale, total, total);
        });
    }

    /// <summary>How many targets have the largest of their row's logits, the first of equals.</summary>
    private static int Hits(float* logits, int* targets, int rows, int vocabulary)
    {
        int hits = 0;
        WorkerPool.Shared.For(Blocking.Pieces(rows, ItemTokens), item =>
        {
            int end = Math.Min(rows, (item + 1) * ItemTokens), found = 0;
            for (int row = item * ItemTokens; row < end; row++)
            {
                if (targets[row] < 0) continue;
                var z = new ReadOnlySpan<float>(logits + ((nint)row * vocabulary), vocabulary);
                found += TensorPrimitives.IndexOfMax(z) == targets[row] ? 1 : 0;
            }

            Interlocked.Add(ref hits, found);
        });
        return hits;
    }

    private static void Softmax(float* logits, int* targets, float* losses, int rows, int vocabulary, float? gradientScale)
    {
        WorkerPool.Shared.For(Blocking.Pieces(rows, ItemTokens), item =>
        {
            int end = Math.Min(rows, (item + 1) * ItemTokens);
            for (int row = item * ItemTokens; row < end; row++)
            {
                float* z = logits + ((nint)row * vocabulary);
                losses[row] = Simd.Width switch
                {
                    16 => SoftmaxRow<Vector512<float>, Simd512>.Apply(z, vocabulary, targets[row], gradientScale),
                    8 => SoftmaxRow<Vector256<float>, Simd256>.Apply(z, vocabulary, targets[row], gradientScale),
                    _ => SoftmaxRow<Vector128<float>, Simd128>.Apply(z, vocabulary, targets[row], gradientScale),
                };
            }
        });
    }
}
