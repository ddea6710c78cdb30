using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// A tile of 12 rows by 2 vectors. 24 accumulators of the 32 registers of AVX-512: each loaded float serves 12 or 2 vectors' worth
/// of products.
/// </summary>
internal readonly unsafe struct MicroKernel12x2<V, S> : IMicroKernel
    where V : struct
    where S : struct, ISimd<V>
{
    public static int Rows => 12;

    public static int Columns => 2 * S.Width;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(nint depth, float* a, float* b, float* c, nint strideC, bool accumulate)
    {
        // The JIT keeps named locals in registers; an array of accumulators would live in memory.
        V left0 = S.Zero, right0 = S.Zero;
        V left1 = S.Zero, right1 = S.Zero;
        V left2 = S.Zero, right2 = S.Zero;
        V left3 = S.Zero, right3 = S.Zero;
        V left4 = S.Zero, right4 = S.Zero;
        V left5 = S.Zero, right5 = S.Zero;
        V left6 = S.Zero, right6 = S.Zero;
        V left7 = S.Zero, right7 = S.Zero;
        V left8 = S.Zero, right8 = S.Zero;
        V left9 = S.Zero, right9 = S.Zero;
        V left10 = S.Zero, right10 = S.Zero;
        V left11 = S.Zero, right11 = S.Zero;
        if (Sse.IsSupported) PrefetchTile(c, strideC);
        for (float* end = b + (depth * 2 * S.Width); b < end; b += 2 * S.Width)
        {
            V left = S.Load(b), right = S.Load(b + S.Width);
            V a0 = S.Create(a[0]);
            left0 = S.MultiplyAdd(a0, left, left0);
            right0 = S.MultiplyAdd(a0, right, right0);
            V a1 = S.Create(a[1]);
            left1 = S.MultiplyAdd(a1, left, left1);
            right1 = S.MultiplyAdd(a1, right, right1);
            V a2 = S.Create(a[2]);
            left2 = S.MultiplyAdd(a2, left, left2);
            right2 = S.MultiplyAdd(a2, right, right2);
            V a3 = S.Create(a[3]);
            left3 = S.MultiplyAdd(a3, left, left3);
            right3 = S.MultiplyAdd(a3, right, right3);
            V a4 = S.Create(a[4]);
            left4 = S.MultiplyAdd(a4, left, left4);
            right4 = S.MultiplyAdd(a4, right, right4);
            V a5 = S.Create(a[5]);
            left5 = S.MultiplyAdd(a5, left, left5);
            right5 = S.MultiplyAdd(a5, right, right5);
            V a6 = S.Create(a[6]);
            left6 = S.MultiplyAdd(a6, left, left6);
            right6 = S.MultiplyAdd(a6, right, right6);
            V a7 = S.Create(a[7]);
            left7 = S.MultiplyAdd(a7, left, left7);
            right7 = S.MultiplyAdd(a7, right, right7);
            V a8 = S.Create(a[8]);
            left8 = S.MultiplyAdd(a8, left, left8);
            right8 = S.MultiplyAdd(a8, right, right8);
            V a9 = S.Create(a[9]);
            left9 = S.MultiplyAdd(a9, left, left9);
            right9 = S.MultiplyAdd(a9, right, right9);
            V a10 = S.Create(a[10]);
            left10 = S.MultiplyAdd(a10, left, left10);
            right10 = S.MultiplyAdd(a10, right, right10);
            V a11 = S.Create(a[11]);
            left11 = S.MultiplyAdd(a11, left, left11);
            right11 = S.MultiplyAdd(a11, right, right11);
            a += 12;
        }

        StoreRow(left0, right0, c, accumulate);
        StoreRow(left1, right1, c + strideC, accumulate);
        StoreRow(left2, right2, c + (2 * strideC), accumulate);
        StoreRow(left3, right3, c + (3 * strideC), accumulate);
        StoreRow(left4, right4, c + (4 * strideC), accumulate);
        StoreRow(left5, right5, c + (5 * strideC), accumulate);
        StoreRow(left6, right6, c + (6 * strideC), accumulate);
        StoreRow(left7, right7, c + (7 * strideC), accumulate);
        StoreRow(left8, right8, c + (8 * strideC), accumulate);
        StoreRow(left9, right9, c + (9 * strideC), accumulate);
        StoreRow(left10, right10, c + (10 * strideC), accumulate);
        StoreRow(left11, right11, c + (11 * strideC), accumulate);
    }

    /// <summary>The tile is read and written only after the whole depth: asked for now, it is there by then.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PrefetchTile(float* c, nint strideC)
    {
        for (int row = 0; row < Rows; row++, c += strideC)
        {
            Sse.Prefetch1(c);
            Sse.Prefetch1(c + S.Width);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreRow(V left, V right, float* c, bool accumulate)
    {
        if (accumulate)
        {
            left = S.Add(left, S.Load(c));
            right = S.Add(right, S.Load(c + S.Width));
        }

        S.Store(left, c);
        S.Store(right, c + S.Width);
    }
}
