using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>Forward: P = 2^(S − largest score so far), unnormalised, and the softmax brought up to date.</summary>
internal unsafe struct SoftmaxScores<V, S> : ITileKernel
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>S.</summary>
    public Scores<V, S> Scores;

    /// <summary>The largest score of each row so far; raised.</summary>
    public float* Max;

    /// <summary>Becomes the factor of everything that a row summed under its old maximum.</summary>
    public float* Rescale;

    /// <summary>Per row a vector whose lanes add up to Σ P; updated.</summary>
    public float* Sums;

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

        float* max = Max, rescale = Rescale, sums = Sums, p = P;
        c0 = Exponentials(c0, max, rescale, p);
        if (R.Value > 1) c1 = Exponentials(c1, max + 1, rescale + 1, p + Tile.Size);
        if (R.Value > 2) c2 = Exponentials(c2, max + 2, rescale + 2, p + (2 * Tile.Size));
        if (R.Value > 3) c3 = Exponentials(c3, max + 3, rescale + 3, p + (3 * Tile.Size));
        if (R.Value > 4) c4 = Exponentials(c4, max + 4, rescale + 4, p + (4 * Tile.Size));
        if (R.Value > 5) c5 = Exponentials(c5, max + 5, rescale + 5, p + (5 * Tile.Size));
        OnlineSoftmax.Raise<V, S>(max, rescale);

        AddSum(c0, rescale, sums);
        if (R.Value > 1) AddSum(c1, rescale + 1, sums + S.Width);
        if (R.Value > 2) AddSum(c2, rescale + 2, sums + (2 * S.Width));
        if (R.Value > 3) AddSum(c3, rescale + 3, sums + (3 * S.Width));
        if (R.Value > 4) AddSum(c4, rescale + 4, sums + (4 * S.Width));
        if (R.Value > 5) AddSum(c5, rescale + 5, sums + (5 * S.Width));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Row<V, S, N> Exponentials<N>(Row<V, S, N> scores, float* max, float* raised, float* p)
        where N : struct, ICount
    {
        V top = S.Max(S.Create(*max), S.Create(scores.Max()));
        *raised = S.First(top);
        Row<V, S, N> exponentials = scores.Subtract(top).Exp2();
        exponentials.Store(p);
        return exponentials;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSum<N>(Row<V, S, N> p, float* rescale, float* sum)
        where N : struct, ICount => S.Store(S.MultiplyAdd(S.Load(sum), S.Create(*rescale), p.Sum()), sum);
}
