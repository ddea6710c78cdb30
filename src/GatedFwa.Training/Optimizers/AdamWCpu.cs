using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Training.Optimizers;

internal static unsafe class AdamWCpu
{
    // Four streams of this many floats fit the second-level cache; fewer would not be worth a hand-over.
    private const int ChunkFloats = 16 * 1024;

    public static void Apply(AdamWStep step, Tensor value, Tensor gradient, Tensor mean, Tensor square)
    {
        float* p = value.Floats, g = gradient.Floats, m = mean.Floats, v = square.Floats;
        long count = value.Count;
        WorkerPool.Shared.For((int)((count + ChunkFloats - 1) / ChunkFloats), chunk =>
        {
            long start = (long)chunk * ChunkFloats;
            int length = (int)Math.Min(ChunkFloats, count - start);
            if (Simd.Width == 16) Chunk<Vector512<float>, Simd512>(step, p + start, g + start, m + start, v + start, length);
            else if (Simd.Width == 8) Chunk<Vector256<float>, Simd256>(step, p + start, g + start, m + start, v + start, length);
            else Chunk<Vector128<float>, Simd128>(step, p + start, g + start, m + start, v + start, length);
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Chunk<V, S>(AdamWStep step, float* p, float* g, float* m, float* v, int length)
        where V : struct
        where S : struct, ISimd<V>
    {
        V scale = S.Create(step.GradientScale), keep = S.Create(step.Keep), size = S.Create(step.StepSize);
        V root = S.Create(step.RootCorrection), epsilon = S.Create(step.Epsilon);
        V meanDecay = S.Create(step.MeanDecay), meanGain = S.Create(1 - step.MeanDecay);
        V squareDecay = S.Create(step.SquareDecay), squareGain = S.Create(1 - step.SquareDecay);
        int i = 0;
        for (; i <= length - S.Width; i += S.Width)
        {
            V gradient = S.Multiply(S.Load(g + i), scale);
            V mean = S.MultiplyAdd(meanDecay, S.Load(m + i), S.Multiply(meanGain, gradient));
            V square = S.MultiplyAdd(squareDecay, S.Load(v + i), S.Multiply(squareGain, S.Multiply(gradient, gradient)));
            V move = S.Divide(S.Multiply(size, mean), S.MultiplyAdd(S.Sqrt(square), root, epsilon));
            S.Store(mean, m + i);
            S.Store(square, v + i);
            S.Store(S.Subtract(S.Multiply(keep, S.Load(p + i)), move), p + i);
        }

        for (; i < length; i++)
        {
            float gradient = g[i] * step.GradientScale;
            m[i] = (step.MeanDecay * m[i]) + ((1 - step.MeanDecay) * gradient);
            v[i] = (step.SquareDecay * v[i]) + ((1 - step.SquareDecay) * (gradient * gradient));
            p[i] = (step.Keep * p[i]) - (step.StepSize * m[i] / ((MathF.Sqrt(v[i]) * step.RootCorrection) + step.Epsilon));
        }
    }
}
