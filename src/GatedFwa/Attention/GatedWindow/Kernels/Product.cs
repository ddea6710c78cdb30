using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>
/// C += A·B for R rows × N vectors that stay in registers while the depth streams past: the inner loop of every tile kernel.
/// </summary>
internal static unsafe class Product<V, S, R, N>
    where V : struct
    where S : struct, ISimd<V>
    where R : struct, ICount
    where N : struct, ICount
{
    /// <summary>c_r += Σ_k a[r·rowStride + k·step] · b[k·bStride …].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Accumulate(
        nint depth,
        float* a,
        nint rowStride,
        nint step,
        float* b,
        nint bStride,
        ref Row<V, S, N> c0,
        ref Row<V, S, N> c1,
        ref Row<V, S, N> c2,
        ref Row<V, S, N> c3,
        ref Row<V, S, N> c4,
        ref Row<V, S, N> c5)
    {
        float* a1 = a + rowStride, a2 = a1 + rowStride, a3 = a2 + rowStride, a4 = a3 + rowStride, a5 = a4 + rowStride;
        for (nint k = 0; depth > 0; depth--, k += step, b += bStride)
        {
            Row<V, S, N> row = Row<V, S, N>.Load(b);
            c0 = c0.MultiplyAdd(S.Create(a[k]), row);
            if (R.Value > 1) c1 = c1.MultiplyAdd(S.Create(a1[k]), row);
            if (R.Value > 2) c2 = c2.MultiplyAdd(S.Create(a2[k]), row);
            if (R.Value > 3) c3 = c3.MultiplyAdd(S.Create(a3[k]), row);
            if (R.Value > 4) c4 = c4.MultiplyAdd(S.Create(a4[k]), row);
            if (R.Value > 5) c5 = c5.MultiplyAdd(S.Create(a5[k]), row);
        }
    }

    /// <summary>C = rescale ∘ C + A·B in memory; no rescale where the pointer is null.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Add(nint depth, float* a, nint rowStride, nint step, float* b, nint bStride, float* c, nint cStride, float* rescale)
    {
        Row<V, S, N> c0 = Row<V, S, N>.Load(c), c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        if (R.Value > 1) c1 = Row<V, S, N>.Load(c + cStride);
        if (R.Value > 2) c2 = Row<V, S, N>.Load(c + (2 * cStride));
        if (R.Value > 3) c3 = Row<V, S, N>.Load(c + (3 * cStride));
        if (R.Value > 4) c4 = Row<V, S, N>.Load(c + (4 * cStride));
        if (R.Value > 5) c5 = Row<V, S, N>.Load(c + (5 * cStride));
        if (rescale != null)
        {
            c0 = c0.Multiply(S.Create(rescale[0]));
            if (R.Value > 1) c1 = c1.Multiply(S.Create(rescale[1]));
            if (R.Value > 2) c2 = c2.Multiply(S.Create(rescale[2]));
            if (R.Value > 3) c3 = c3.Multiply(S.Create(rescale[3]));
            if (R.Value > 4) c4 = c4.Multiply(S.Create(rescale[4]));
            if (R.Value > 5) c5 = c5.Multiply(S.Create(rescale[5]));
        }

        Accumulate(depth, a, rowStride, step, b, bStride, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);
        c0.Store(c);
        if (R.Value > 1) c1.Store(c + cStride);
        if (R.Value > 2) c2.Store(c + (2 * cStride));
        if (R.Value > 3) c3.Store(c + (3 * cStride));
        if (R.Value > 4) c4.Store(c + (4 * cStride));
        if (R.Value > 5) c5.Store(c + (5 * cStride));
    }
}
