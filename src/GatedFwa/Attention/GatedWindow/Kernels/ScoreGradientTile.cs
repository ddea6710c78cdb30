using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>dS = P ∘ (dO·Vᵀ − δ) for R rows × N vectors of keys, with the sums that the decay's gradient is made of.</summary>
internal static unsafe class ScoreGradientTile<V, S, R, N>
    where V : struct
    where S : struct, ISimd<V>
    where R : struct, ICount
    where N : struct, ICount
{
    /// <param name="headSize">D.</param>
    /// <param name="outputGradients">dO [R, <paramref name="rowStride"/>].</param>
    /// <param name="rowStride">Floats from one row to the next.</param>
    /// <param name="valuesTransposed">Vᵀ [D, 64], from the first key of the run.</param>
    /// <param name="delta">δ = o·dO of each row.</param>
    /// <param name="p">P [R, 64].</param>
    /// <param name="scoreGradients">Becomes dS [R, 64].</param>
    /// <param name="rowSums">Per row a vector whose lanes add up to Σ_j dS; added to.</param>
    /// <param name="keySums">Σ_i dS of each key; added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Compute(
        int headSize, float* outputGradients, int rowStride, float* valuesTransposed, float* delta, float* p, float* scoreGradients, float* rowSums, float* keySums)
    {
        Row<V, S, N> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        Product<V, S, R, N>.Accumulate(
            headSize, outputGradients, rowStride, 1, valuesTransposed, Tile.Size, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);
        Row<V, S, N> sums = Row<V, S, N>.Load(keySums);
        sums = sums.Add(Finish(c0, delta, p, scoreGradients, rowSums));
        if (R.Value > 1) sums = sums.Add(Finish(c1, delta + 1, p + Tile.Size, scoreGradients + Tile.Size, rowSums + S.Width));
        if (R.Value > 2) sums = sums.Add(Finish(c2, delta + 2, p + (2 * Tile.Size), scoreGradients + (2 * Tile.Size), rowSums + (2 * S.Width)));
        if (R.Value > 3) sums = sums.Add(Finish(c3, delta + 3, p + (3 * Tile.Size), scoreGradients + (3 * Tile.Size), rowSums + (3 * S.Width)));
        if (R.Value > 4) sums = sums.Add(Finish(c4, delta + 4, p + (4 * Tile.Size), scoreGradients + (4 * Tile.Size), rowSums + (4 * S.Width)));
        if (R.Value > 5) sums = sums.Add(Finish(c5, delta + 5, p + (5 * Tile.Size), scoreGradients + (5 * Tile.Size), rowSums + (5 * S.Width)));
        sums.Store(keySums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Row<V, S, N> Finish(Row<V, S, N> dp, float* delta, float* p, float* scoreGradients, float* rowSum)
    {
        Row<V, S, N> ds = dp.Subtract(S.Create(*delta)).Multiply(Row<V, S, N>.Load(p));
        ds.Store(scoreGradients);
        S.Store(S.Add(S.Load(rowSum), ds.Sum()), rowSum);
        return ds;
    }
}
