using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>C += A·B for R rows × N vectors that stay in registers while the depth streams past: the inner loop of every kernel.</summary>
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
}
