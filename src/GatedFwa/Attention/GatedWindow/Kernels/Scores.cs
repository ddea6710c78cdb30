using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>S = scale · q·k + u_i − u_j of a block of rows and a run of keys, in log2 units; −∞ where a key is hidden.</summary>
internal unsafe struct Scores<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>D: the depth of the dot products.</summary>
    public int HeadSize;

    /// <summary>R rows of q · scale · log2(e) [R, RowStride].</summary>
    public float* Queries;

    /// <summary>Floats from one row to the next.</summary>
    public int RowStride;

    /// <summary>Keys, transposed [D, 64], from the first key of the run.</summary>
    public float* KeysTransposed;

    /// <summary>The decay between each key of the run and the block's first row; null where nothing decays.</summary>
    public float* KeyBias;

    /// <summary>The same of each row: a score gets the difference of the two.</summary>
    public float* RowBias;

    /// <summary>Whether some key is hidden from some row.</summary>
    public bool IsMasked;

    /// <summary>The first and the last key that each row sees, counted from the run's first.</summary>
    public float* FirstVisible, LastVisible;

    /// <summary>Adds the scores to R rows of zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Compute<R, N>(
        ref Row<V, S, N> c0, ref Row<V, S, N> c1, ref Row<V, S, N> c2, ref Row<V, S, N> c3, ref Row<V, S, N> c4, ref Row<V, S, N> c5)
        where R : struct, ICount
        where N : struct, ICount
    {
        Product<V, S, R, N>.Accumulate(
            HeadSize, Queries, RowStride, 1, KeysTransposed, Tile.Size, ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);

        if (KeyBias != null) AddBias<R, N>(ref c0, ref c1, ref c2, ref c3, ref c4, ref c5);
        if (!IsMasked) return;
        Row<V, S, N> index = Row<V, S, N>.Indices();
        float* first = FirstVisible, last = LastVisible;
        c0 = c0.Within(index, first[0], last[0]);
        if (R.Value > 1) c1 = c1.Within(index, first[1], last[1]);
        if (R.Value > 2) c2 = c2.Within(index, first[2], last[2]);
        if (R.Value > 3) c3 = c3.Within(index, first[3], last[3]);
        if (R.Value > 4) c4 = c4.Within(index, first[4], last[4]);
        if (R.Value > 5) c5 = c5.Within(index, first[5], last[5]);
    }

    /// <remarks>After the dot product: accumulators that started at the bias would round every partial sum at its magnitude. The
    /// difference of the two biases comes first, so that what is common to row and key never meets the score.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void AddBias<R, N>(
        ref Row<V, S, N> c0, ref Row<V, S, N> c1, ref Row<V, S, N> c2, ref Row<V, S, N> c3, ref Row<V, S, N> c4, ref Row<V, S, N> c5)
        where R : struct, ICount
        where N : struct, ICount
    {
        Row<V, S, N> bias = Row<V, S, N>.Load(KeyBias);
        float* row = RowBias;
        c0 = c0.Add(bias.Subtract(S.Create(row[0])));
        if (R.Value > 1) c1 = c1.Add(bias.Subtract(S.Create(row[1])));
        if (R.Value > 2) c2 = c2.Add(bias.Subtract(S.Create(row[2])));
        if (R.Value > 3) c3 = c3.Add(bias.Subtract(S.Create(row[3])));
        if (R.Value > 4) c4 = c4.Add(bias.Subtract(S.Create(row[4])));
        if (R.Value > 5) c5 = c5.Add(bias.Subtract(S.Create(row[5])));
    }
}
