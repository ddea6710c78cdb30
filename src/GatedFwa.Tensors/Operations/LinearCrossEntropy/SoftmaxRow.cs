using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

/// <summary>One token's logits: their loss and, written over them, their gradient.</summary>
internal static unsafe class SoftmaxRow<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private const float Log2E = 1.44269504f;

    // The exponentials of so many logits are added up in float before they join the double total.
    private const int SumFloats = 4096;

    /// <summary>Returns log Σ exp(z) − z[target], or 0 for a negative target.</summary>
    /// <param name="z">[vocabulary]; on return the gradient, where one is asked for.</param>
    /// <param name="vocabulary">At least 1 unless the target is negative.</param>
    /// <param name="target">The index of the right answer; negative: ignored.</param>
    /// <param name="gradientScale">The gradient of this token's loss, or null where no gradient is wanted.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Apply(float* z, int vocabulary, int target, float? gradientScale)
    {
        if (target < 0)
        {
            if (gradientScale is not null) new Span<float>(z, vocabulary).Clear();
            return 0;
        }

        float largest = Largest(z, vocabulary);
        float relative = z[target] - largest;
        double sum = 0;
        for (int start = 0; start < vocabulary; start += SumFloats)
            sum += Exponentials(z + start, Math.Min(SumFloats, vocabulary - start), largest, keep: gradientScale is not null);
        if (gradientScale is { } scale)
        {
            Scale(z, vocabulary, (float)(scale / sum));
            z[target] -= scale;
        }

        return (float)(Math.Log(sum) - relative);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Largest(float* z, int count)
    {
        float largest = z[0];
        int i = 0;
        if (count >= S.Width)
        {
            V running = S.Load(z);
            for (; i + S.Width <= count; i += S.Width) running = S.Max(running, S.Load(z + i));
            largest = S.MaxAcross(running);
        }

        for (; i < count; i++) largest = Math.Max(largest, z[i]);
        return largest;
    }

    /// <summary>Σ exp(z − largest); keeps the exponentials where asked to.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Exponentials(float* z, int count, float largest, bool keep)
    {
        V sum = S.Zero, offset = S.Create(largest), log2E = S.Create(Log2E);
        int i = 0;
        for (; i + S.Width <= count; i += S.Width)
        {
            V e = S.Exp2(S.Multiply(S.Subtract(S.Load(z + i), offset), log2E));
            sum = S.Add(sum, e);
            if (keep) S.Store(e, z + i);
        }

        float total = S.Sum(sum);
        for (; i < count; i++)
        {
            float e = MathF.Exp(z[i] - largest);
            total += e;
            if (keep) z[i] = e;
        }

        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(float* z, int count, float factor)
    {
        V factors = S.Create(factor);
        int i = 0;
        for (; i + S.Width <= count; i += S.Width) S.Store(S.Multiply(S.Load(z + i), factors), z + i);
        for (; i < count; i++) z[i] *= factor;
    }
}
