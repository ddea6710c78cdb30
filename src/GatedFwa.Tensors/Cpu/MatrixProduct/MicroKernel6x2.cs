using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// A tile of 6 rows by 2 vectors. 12 accumulators: what 16 registers leave beside two vectors of B and one broadcast of A.
/// </summary>
internal readonly unsafe struct MicroKernel6x2<V, S> : IMicroKernel
    where V : struct
    where S : struct, ISimd<V>
{
    public static int Rows => 6;

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
            a += 6;
        }

        StoreRow(left0, right0, c, accumulate);
        StoreRow(left1, right1, c + strideC, accumulate);
        StoreRow(left2, right2, c + (2 * strideC), accumulate);
        StoreRow(left3, right3, c + (3 * strideC), accumulate);
        StoreRow(left4, right4, c + (4 * strideC), accumulate);
        StoreRow(left5, right5, c + (5 * strideC), accumulate);
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
