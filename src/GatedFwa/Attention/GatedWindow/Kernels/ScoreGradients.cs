using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>Backward: dS = P ∘ (dO·Vᵀ − δ), with the sums that the decay's gradient is made of.</summary>
internal unsafe struct ScoreGradients<V, S> : ITileKernel
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>D: the depth of the dot products.</summary>
    public int HeadSize;

    /// <summary>dO [R, RowStride].</summary>
    public float* OutputGradients;

    /// <summary>Floats from one row to the next.</summary>
    public int RowStride;

    /// <summary>Values, transposed [D, 64], from the first key of the run.</summary>
    public float* ValuesTransposed;

    /// <summary>δ = o·dO of each row.</summary>
    public float* Delta;

    /// <summary>P [R, 64].</summary>
    public float* P;

    /// <summary>Becomes dS [R, 64].</summary>
    public float* Gradients;

    /// <summary>Per row a vector whose lanes add up to Σ_j dS; added to.</summary>
    public float* RowSums;

    /// <summary>Σ_i dS of each key; added to.</summary>
    public float* KeySums;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public readonly void Run<R, N>()
        where R : struct, ICount
        where N : struct, ICount
    {
        Row<V, S, N> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        Product<V, S, R, N>.Accumulate(
            HeadSize, OutputGradients, RowStride, 1, ValuesTransposed, Tile.Size, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);

        float* delta = Delta, p = P, gradients = Gradients, rowSums = RowSums, keySums = KeySums;
        Row<V, S, N> sums = Row<V, S, N>.Load(keySums);
        sums = sums.Add(Finish(c0, delta, p, gradients, rowSums));
        if (R.Value > 1) sums = sums.Add(Finish(c1, delta + 1, p + Tile.Size, gradients + Tile.Size, rowSums + S.Width));
        if (R.Value > 2) sums = sums.Add(Finish(c2, delta + 2, p + (2 * Tile.Size), gradients + (2 * Tile.Size), rowSums + (2 * S.Width)));
        if (R.Value > 3) sums = sums.Add(Finish(c3, delta + 3, p + (3 * Tile.Size), gradients + (3 * Tile.Size), rowSums + (3 * S.Width)));
        if (R.Value > 4) sums = sums.Add(Finish(c4, delta + 4, p + (4 * Tile.Size), gradients + (4 * Tile.Size), rowSums + (4 * S.Width)));
        if (R.Value > 5) sums = sums.Add(Finish(c5, delta + 5, p + (5 * Tile.Size), gradients + (5 * Tile.Size), rowSums + (5 * S.Width)));
        sums.Store(keySums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Row<V, S, N> Finish<N>(Row<V, S, N> dp, float* delta, float* p, float* gradients, float* rowSum)
        where N : struct, ICount
    {
        Row<V, S, N> ds = dp.Subtract(S.Create(*delta)).Multiply(Row<V, S, N>.Load(p));
        ds.Store(gradients);
        S.Store(S.Add(S.Load(rowSum), ds.Sum()), rowSum);
        return ds;
    }
}
