using System.Numerics.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class AddCpu
{
    // Large enough to be worth a hand-over, small enough to stay in the first-level cache's neighbourhood.
    private const int ChunkFloats = 16 * 1024;

    public static void Forward(Tensor a, Tensor b, Tensor y) => Sum(a.Floats, b.Floats, y.Floats, y.Count);

    /// <summary>sum += term.</summary>
    public static void Accumulate(Tensor term, Tensor sum) => Sum(sum.Floats, term.Floats, sum.Floats, sum.Count);

    private static void Sum(float* a, float* b, float* y, long count) =>
        WorkerPool.Shared.For((int)((count + ChunkFloats - 1) / ChunkFloats), chunk =>
        {
            long start = (long)chunk * ChunkFloats;
            int length = (int)Math.Min(ChunkFloats, count - start);
            TensorPrimitives.Add(new ReadOnlySpan<float>(a + start, length), new ReadOnlySpan<float>(b + start, length), new Span<float>(y + start, length));
        });
}
