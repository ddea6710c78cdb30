using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>What a block of rows and a run of keys have to say to each other; see <see cref="ScoreTile{V, S, R, N}"/>.</summary>
internal unsafe struct ScoreBlock
{
    /// <summary>D: the depth of the dot products.</summary>
    public int HeadSize;

    /// <summary>R rows of q · scale · log2(e) [R, RowStride].</summary>
    public float* Queries;

    /// <summary>Floats from one row to the next.</summary>
    public int RowStride;

    /// <summary>Keys, transposed [D, 64], from the first key of the run.</summary>
    public float* KeysTransposed;

    /// <summary>The decay's bias of each key of the run, relative to the block's first row, in log2 units.</summary>
    public float* KeyBias;

    /// <summary>The same of each row; a score gets the difference.</summary>
    public float* RowBias;

    /// <summary>Whether some score of the block is hidden.</summary>
    public bool IsMasked;

    /// <summary>The keys that the first row sees, counted from the run's first; every further row sees one later.</summary>
    public int FirstVisible, LastVisible;
}

/// <summary>
/// S = scale · q·k + u_i − u_j for R rows × N vectors of keys, in registers and in log2 units, then one of two ends: the online
/// softmax of the forward pass, or the probabilities of the backward pass.
/// </summary>
internal static unsafe class ScoreTile<V, S, R, N>
    where V : struct
    where S : struct, ISimd<V>
    where R : struct, ICount
    where N : struct, ICount
{
    /// <summary>P = 2^(S − max so far), unnormalised.</summary>
    /// <param name="block">The scores to compute.</param>
    /// <param name="max">The largest score of each row so far; raised.</param>
    /// <param name="rescale">Becomes the factors of everything that was summed under the old maxima.</param>
    /// <param name="sums">Per row a vector whose lanes add up to Σ P; updated.</param>
    /// <param name="p">Becomes P [R, 64].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Attend(in ScoreBlock block, float* max, float* rescale, float* sums, float* p)
    {
        Row<V, S, N> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        Scores(block, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);

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

    /// <summary>P = 2^(S − lse).</summary>
    /// <param name="block">The scores to compute.</param>
    /// <param name="lseLog2">log2 Σ 2^S of each row; +∞ for a row that is not there.</param>
    /// <param name="p">Becomes P [R, 64].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Probabilities(in ScoreBlock block, float* lseLog2, float* p)
    {
        Row<V, S, N> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        Scores(block, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);
        c0.Subtract(S.Create(lseLog2[0])).Exp2().Store(p);
        if (R.Value > 1) c1.Subtract(S.Create(lseLog2[1])).Exp2().Store(p + Tile.Size);
        if (R.Value > 2) c2.Subtract(S.Create(lseLog2[2])).Exp2().Store(p + (2 * Tile.Size));
        if (R.Value > 3) c3.Subtract(S.Create(lseLog2[3])).Exp2().Store(p + (3 * Tile.Size));
        if (R.Value > 4) c4.Subtract(S.Create(lseLog2[4])).Exp2().Store(p + (4 * Tile.Size));
        if (R.Value > 5) c5.Subtract(S.Create(lseLog2[5])).Exp2().Store(p + (5 * Tile.Size));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scores(
        in ScoreBlock block,
        ref Row<V, S, N> c0,
        ref Row<V, S, N> c1,
        ref Row<V, S, N> c2,
        ref Row<V, S, N> c3,
        ref Row<V, S, N> c4,
        ref Row<V, S, N> c5)
    {
        Product<V, S, R, N>.Accumulate(
            block.HeadSize, block.Queries, block.RowStride, 1, block.KeysTransposed, Tile.Size, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);

        // After the dot product: accumulators that started at the bias would round every partial sum at its magnitude. The
        // difference of the two biases comes first, so that what is common to row and key never meets the score.
        Row<V, S, N> bias = Row<V, S, N>.Load(block.KeyBias);
        float* row = block.RowBias;
        c0 = c0.Add(bias.Subtract(S.Create(row[0])));
        if (R.Value > 1) c1 = c1.Add(bias.Subtract(S.Create(row[1])));
        if (R.Value > 2) c2 = c2.Add(bias.Subtract(S.Create(row[2])));
        if (R.Value > 3) c3 = c3.Add(bias.Subtract(S.Create(row[3])));
        if (R.Value > 4) c4 = c4.Add(bias.Subtract(S.Create(row[4])));
        if (R.Value > 5) c5 = c5.Add(bias.Subtract(S.Create(row[5])));

        if (!block.IsMasked) return;
        Row<V, S, N> index = Row<V, S, N>.Indices();
        float first = block.FirstVisible, last = block.LastVisible;
        c0 = c0.Within(index, first, last);
        if (R.Value > 1) c1 = c1.Within(index, first + 1, last + 1);
        if (R.Value > 2) c2 = c2.Within(index, first + 2, last + 2);
        if (R.Value > 3) c3 = c3.Within(index, first + 3, last + 3);
        if (R.Value > 4) c4 = c4.Within(index, first + 4, last + 4);
        if (R.Value > 5) c5 = c5.Within(index, first + 5, last + 5);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Row<V, S, N> Exponentials(Row<V, S, N> scores, float* max, float* raised, float* p)
    {
        V top = S.Max(S.Create(*max), S.Create(scores.Max()));
        *raised = S.First(top);
        Row<V, S, N> exponentials = scores.Subtract(top).Exp2();
        exponentials.Store(p);
        return exponentials;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSum(Row<V, S, N> p, float* rescale, float* sum) =>
        S.Store(S.MultiplyAdd(S.Load(sum), S.Create(*rescale), p.Sum()), sum);
}
