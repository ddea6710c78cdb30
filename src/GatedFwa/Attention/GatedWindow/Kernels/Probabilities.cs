using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>Backward: P = 2^(S − lse).</summary>
internal unsafe struct Probabilities<V, S> : ITileKernel
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>S.</summary>
    public Scores<V, S> Scores;

    /// <summary>log2 Σ 2^S of each row; +∞ for a row that is not there.</summary>
    public float* LseLog2;

    /// <summary>Becomes P [R, 64].</summary>
    public float* P;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public readonly void Run<R, N>()
        where R : struct, ICount
        where N : struct, ICount
    {
        Row<V, S, N> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        Scores.Compute<R, N>(ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);

        float* lse = LseLog2, p = P;
        c0.Subtract(S.Create(lse[0])).Exp2().Store(p);
        if (R.Value > 1) c1.Subtract(S.Create(lse[1])).Exp2().Store(p + Tile.Size);
        if (R.Value > 2) c2.Subtract(S.Create(lse[2])).Exp2().Store(p + (2 * Tile.Size));
        if (R.Value > 3) c3.Subtract(S.Create(lse[3])).Exp2().Store(p + (3 * Tile.Size));
        if (R.Value > 4) c4.Subtract(S.Create(lse[4])).Exp2().Store(p + (4 * Tile.Size));
        if (R.Value > 5) c5.Subtract(S.Create(lse[5])).Exp2().Store(p + (5 * Tile.Size));
    }
}
