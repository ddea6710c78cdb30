using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Cpu;

/// <summary>X · B for a few rows of X and a row-major B: rows of B, times an element of X each, are added to the rows of C.</summary>
internal static unsafe class RowUpdates<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private const int Group = 8;

    /// <summary>C[m] (+)= Σ over k of x[m, k] · b[k].</summary>
    /// <param name="x">[M, K], depth contiguous.</param>
    /// <param name="b">[K, N], rows contiguous; few columns, so that a group of rows stays in the first-level cache for all of X.</param>
    /// <param name="c">[M, N], rows contiguous.</param>
    /// <param name="strideC">Floats from a row of C to the next.</param>
    /// <param name="accumulate">Add to C; otherwise it is not read.</param>
    public static void Multiply(StridedMatrix x, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        if (!accumulate)
        {
            for (int m = 0; m < x.Rows; m++) NativeMemory.Clear(c + (m * strideC), (nuint)b.Columns * sizeof(float));
        }

        int k = 0;
        for (; k + Group <= b.Rows; k += Group)
        {
            for (int m = 0; m < x.Rows; m++) Add8(x.At(m, k), b.At(k, 0), b.RowStride, c + (m * strideC), b.Columns);
        }

        for (; k < b.Rows; k++)
        {
            for (int m = 0; m < x.Rows; m++) Add1(*x.At(m, k), b.At(k, 0), c + (m * strideC), b.Columns);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add8(float* x, float* b, nint stride, float* c, int columns)
    {
        V x0 = S.Create(x[0]), x1 = S.Create(x[1]), x2 = S.Create(x[2]), x3 = S.Create(x[3]);
        V x4 = S.Create(x[4]), x5 = S.Create(x[5]), x6 = S.Create(x[6]), x7 = S.Create(x[7]);
        float* b4 = b + (4 * stride);
        nint stride2 = 2 * stride, stride3 = 3 * stride;
        int n = 0;
        for (; n + S.Width <= columns; n += S.Width, b += S.Width, b4 += S.Width)
        {
            // Two chains: the sum's latency would otherwise be the limit.
            V sum = S.MultiplyAdd(x0, S.Load(b), S.Load(c + n)), other = S.Multiply(x4, S.Load(b4));
            sum = S.MultiplyAdd(x1, S.Load(b + stride), sum);
            other = S.MultiplyAdd(x5, S.Load(b4 + stride), other);
            sum = S.MultiplyAdd(x2, S.Load(b + stride2), sum);
            other = S.MultiplyAdd(x6, S.Load(b4 + stride2), other);
            sum = S.MultiplyAdd(x3, S.Load(b + stride3), sum);
            other = S.MultiplyAdd(x7, S.Load(b4 + stride3), other);
            S.Store(S.Add(sum, other), c + n);
        }

        for (; n < columns; n++, b++, b4++)
        {
            float sum = c[n];
            for (int k = 0; k < 4; k++) sum += (x[k] * b[k * stride]) + (x[k + 4] * b4[k * stride]);
            c[n] = sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add1(float x, float* b, float* c, int columns)
    {
        V factor = S.Create(x);
        int n = 0;
        for (; n + S.Width <= columns; n += S.Width) S.Store(S.MultiplyAdd(factor, S.Load(b + n), S.Load(c + n)), c + n);
        for (; n < columns; n++) c[n] += x * b[n];
    }
}
