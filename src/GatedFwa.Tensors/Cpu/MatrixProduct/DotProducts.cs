using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// X · Wᵀ for a few rows of X: dot products along the contiguous depth of both. W streams from memory once, unpacked; the rows
/// of X stay in the first-level cache.
/// </summary>
/// <remarks>A row of the result does not depend on how many rows are asked for at once.</remarks>
internal static unsafe class DotProducts<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private const int Group = 4;

    /// <summary>C[m, n] (+)= x[m] · w[n].</summary>
    /// <param name="x">[M, K], depth contiguous.</param>
    /// <param name="w">[N, K], depth contiguous.</param>
    /// <param name="c">[M, N], rows contiguous.</param>
    /// <param name="strideC">Floats from a row of C to the next.</param>
    /// <param name="accumulate">Add to C; otherwise it is not read.</param>
    public static void Multiply(StridedMatrix x, StridedMatrix w, float* c, nint strideC, bool accumulate)
    {
        int depth = x.Columns, n = 0;
        for (; n + Group <= w.Rows; n += Group)
        {
            float* rows = w.At(n, 0);
            int m = 0;
            // 16 sums and 5 operands need more registers than 256-bit code has.
            for (; S.Width == 16 && m + 4 <= x.Rows; m += 4)
                Dot4x4(depth, x.At(m, 0), x.RowStride, rows, w.RowStride, c + (m * strideC) + n, strideC, accumulate);
            for (; m + 2 <= x.Rows; m += 2)
                Dot2x4(depth, x.At(m, 0), x.RowStride, rows, w.RowStride, c + (m * strideC) + n, strideC, accumulate);
            for (; m < x.Rows; m++) Dot1x4(depth, x.At(m, 0), rows, w.RowStride, c + (m * strideC) + n, accumulate);
        }

        for (; n < w.Rows; n++)
        {
            for (int m = 0; m < x.Rows; m++) Dot1x1(depth, x.At(m, 0), w.At(n, 0), c + (m * strideC) + n, accumulate);
        }
    }

    /// <summary>4 rows of X by 4 of W.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dot4x4(int depth, float* x, nint strideX, float* w, nint strideW, float* c, nint strideC, bool accumulate)
    {
        float* x1 = x + strideX;
        float* x2 = x1 + strideX;
        float* x3 = x2 + strideX;
        float* w1 = w + strideW, w2 = w1 + strideW, w3 = w2 + strideW;
        V s00 = S.Zero, s01 = S.Zero, s02 = S.Zero, s03 = S.Zero;
        V s10 = S.Zero, s11 = S.Zero, s12 = S.Zero, s13 = S.Zero;
        V s20 = S.Zero, s21 = S.Zero, s22 = S.Zero, s23 = S.Zero;
        V s30 = S.Zero, s31 = S.Zero, s32 = S.Zero, s33 = S.Zero;
        int k = 0;
        for (; k + S.Width <= depth; k += S.Width)
        {
            PrefetchNextGroup(w, strideW, k);
            V r0 = S.Load(w + k), r1 = S.Load(w1 + k), r2 = S.Load(w2 + k), r3 = S.Load(w3 + k);
            V v0 = S.Load(x + k);
            s00 = S.MultiplyAdd(v0, r0, s00);
            s01 = S.MultiplyAdd(v0, r1, s01);
            s02 = S.MultiplyAdd(v0, r2, s02);
            s03 = S.MultiplyAdd(v0, r3, s03);
            V v1 = S.Load(x1 + k);
            s10 = S.MultiplyAdd(v1, r0, s10);
            s11 = S.MultiplyAdd(v1, r1, s11);
            s12 = S.MultiplyAdd(v1, r2, s12);
            s13 = S.MultiplyAdd(v1, r3, s13);
            V v2 = S.Load(x2 + k);
            s20 = S.MultiplyAdd(v2, r0, s20);
            s21 = S.MultiplyAdd(v2, r1, s21);
            s22 = S.MultiplyAdd(v2, r2, s22);
            s23 = S.MultiplyAdd(v2, r3, s23);
            V v3 = S.Load(x3 + k);
            s30 = S.MultiplyAdd(v3, r0, s30);
            s31 = S.MultiplyAdd(v3, r1, s31);
            s32 = S.MultiplyAdd(v3, r2, s32);
            s33 = S.MultiplyAdd(v3, r3, s33);
        }

        Put(S.SumEach(s00, s01, s02, s03), x, w, strideW, k, depth, c, accumulate);
        Put(S.SumEach(s10, s11, s12, s13), x1, w, strideW, k, depth, c + strideC, accumulate);
        Put(S.SumEach(s20, s21, s22, s23), x2, w, strideW, k, depth, c + (2 * strideC), accumulate);
        Put(S.SumEach(s30, s31, s32, s33), x3, w, strideW, k, depth, c + (3 * strideC), accumulate);
    }

    /// <summary>2 rows of X by 4 of W.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dot2x4(int depth, float* x, nint strideX, float* w, nint strideW, float* c, nint strideC, bool accumulate)
    {
        float* x1 = x + strideX;
        float* w1 = w + strideW, w2 = w1 + strideW, w3 = w2 + strideW;
        V s00 = S.Zero, s01 = S.Zero, s02 = S.Zero, s03 = S.Zero;
        V s10 = S.Zero, s11 = S.Zero, s12 = S.Zero, s13 = S.Zero;
        int k = 0;
        for (; k + S.Width <= depth; k += S.Width)
        {
            PrefetchNextGroup(w, strideW, k);
            V r0 = S.Load(w + k), r1 = S.Load(w1 + k), r2 = S.Load(w2 + k), r3 = S.Load(w3 + k);
            V v0 = S.Load(x + k);
            s00 = S.MultiplyAdd(v0, r0, s00);
            s01 = S.MultiplyAdd(v0, r1, s01);
            s02 = S.MultiplyAdd(v0, r2, s02);
            s03 = S.MultiplyAdd(v0, r3, s03);
            V v1 = S.Load(x1 + k);
            s10 = S.MultiplyAdd(v1, r0, s10);
            s11 = S.MultiplyAdd(v1, r1, s11);
            s12 = S.MultiplyAdd(v1, r2, s12);
            s13 = S.MultiplyAdd(v1, r3, s13);
        }

        Put(S.SumEach(s00, s01, s02, s03), x, w, strideW, k, depth, c, accumulate);
        Put(S.SumEach(s10, s11, s12, s13), x1, w, strideW, k, depth, c + strideC, accumulate);
    }

    /// <summary>
    /// A row of X by 4 of W, one row of W after the other. So W streams in the order in which it lies in memory, which the
    /// processor's own prefetcher follows best; sums that do not wait for one another overlap all the same (docs/log.md).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dot1x4(int depth, float* x, float* w, nint strideW, float* c, bool accumulate)
    {
        float* w1 = w + strideW, w2 = w1 + strideW, w3 = w2 + strideW;
        V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
        int whole = depth - (depth % S.Width);
        for (int k = 0; k < whole; k += S.Width) s0 = S.MultiplyAdd(S.Load(x + k), S.Load(w + k), s0);
        for (int k = 0; k < whole; k += S.Width) s1 = S.MultiplyAdd(S.Load(x + k), S.Load(w1 + k), s1);
        for (int k = 0; k < whole; k += S.Width) s2 = S.MultiplyAdd(S.Load(x + k), S.Load(w2 + k), s2);
        for (int k = 0; k < whole; k += S.Width) s3 = S.MultiplyAdd(S.Load(x + k), S.Load(w3 + k), s3);
        Put(S.SumEach(s0, s1, s2, s3), x, w, strideW, whole, depth, c, accumulate);
    }

    /// <summary>What the groups of 4 leave over.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dot1x1(int depth, float* x, float* w, float* c, bool accumulate)
    {
        V lanes = S.Zero;
        int k = 0;
        for (; k + S.Width <= depth; k += S.Width) lanes = S.MultiplyAdd(S.Load(x + k), S.Load(w + k), lanes);
        float sum = S.Sum(lanes);
        for (; k < depth; k++) sum += x[k] * w[k];
        *c = accumulate ? *c + sum : sum;
    }

    /// <summary>
    /// Asks for the next group's rows in the order in which they lie in memory. Four short streams at once, each beginning
    /// anew after a row, are what the processor's own prefetcher does worst. Past the second-level cache, because each weight is
    /// used once and nothing that is kept there should make room for it (docs/log.md).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PrefetchNextGroup(float* w, nint strideW, int k)
    {
        if (!Sse.IsSupported) return;
        float* next = w + (Group * (strideW + k));
        Sse.PrefetchNonTemporal(next);
        Sse.PrefetchNonTemporal(next + S.Width);
        Sse.PrefetchNonTemporal(next + (2 * S.Width));
        Sse.PrefetchNonTemporal(next + (3 * S.Width));
    }

    /// <summary>Adds the steps from <paramref name="k"/> on, which do not fill a vector, to four sums and writes them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(Vector128<float> sums, float* x, float* w, nint strideW, int k, int depth, float* c, bool accumulate)
    {
        for (; k < depth; k++) sums += Vector128.Create(w[k], w[strideW + k], w[(2 * strideW) + k], w[(3 * strideW) + k]) * x[k];
        (accumulate ? sums + Vector128.Load(c) : sums).Store(c);
    }
}
