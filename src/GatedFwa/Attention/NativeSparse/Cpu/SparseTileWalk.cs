using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>
/// How a range of queries goes through its keys, forward and backward alike. Tiles of keys come by once, in order; the queries that
/// see some of a tile are gathered, 64 rows at a time, so that few of many cost no more than neighbours would. A row is a query of
/// one head.
/// </summary>
internal abstract unsafe class SparseTileWalk<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly SparsePattern _pattern;
    private readonly int[] _rows = new int[Tile.Size];
    private readonly long[] _heads = new long[Tile.Size];
    private readonly int[] _visible = new int[Tile.Size + Tile.BlockRows]; // A kernel looks at whole blocks.
    private int _count;

    protected SparseTileWalk(NativeSparseProblem problem, SparsePattern pattern, QueryRange range)
    {
        (Problem, _pattern, Range) = (problem, pattern, range);
        HeadSize = problem.Shape.HeadSize;
        PaddedSize = Tile.PaddedSize(HeadSize, S.Width);
        Group = problem.Shape.GroupSize;
    }

    protected NativeSparseProblem Problem { get; }

    protected QueryRange Range { get; }

    /// <summary>D.</summary>
    protected int HeadSize { get; }

    /// <summary>D in whole vectors: the width of packed rows.</summary>
    protected int PaddedSize { get; }

    /// <summary>Query heads that share the key head.</summary>
    protected int Group { get; }

    /// <summary>Floats of a tile of packed rows.</summary>
    protected int TileFloats => Tile.Size * PaddedSize;

    /// <summary>Keys that a micro-kernel takes at once: the whole tile with AVX-512.</summary>
    protected static int Panel => Tile.MaxVectors(S.Width) * S.Width;

    /// <summary>The gathered rows, by their number in the range: (token − first) · group + member.</summary>
    protected ReadOnlySpan<int> Rows => _rows.AsSpan(0, _count);

    /// <summary>The same rows by their number in [B, T, H].</summary>
    protected ReadOnlySpan<long> Heads => _heads.AsSpan(0, _count);

    /// <summary>Whether every gathered row sees every key of the tile.</summary>
    protected bool SeesAll(int keys) => _visible[0] == keys;

    /// <summary>The most keys that a gathered row sees: rows come in the order of their tokens, so the last does.</summary>
    protected int MostVisible => _visible[_count - 1];

    /// <summary>Room for two numbers of a block's rows: what a mask says.</summary>
    protected float* Mask { get; set; }

    /// <summary>Goes through a run of key tiles.</summary>
    protected void Walk(int firstTile, int endTile)
    {
        for (int tile = firstTile; tile < endTile; tile++)
        {
            ReadOnlySpan<int> tokens = _pattern.Tokens(Range, tile);
            if (tokens.IsEmpty) continue;
            KeyTile keys = _pattern.Tile(Range.Blocks, tile);
            BeginKeys(keys);
            for (int token = 0, member = 0; token < tokens.Length;)
            {
                Gather(keys, tokens, ref token, ref member);
                Meet(keys);
            }

            EndKeys(keys);
        }
    }

    /// <summary>Packs a tile of keys.</summary>
    protected abstract void BeginKeys(in KeyTile keys);

    /// <summary>All that the gathered rows and a tile of keys have to do with each other.</summary>
    protected abstract void Meet(in KeyTile keys);

    /// <summary>No query of the range sees these keys again.</summary>
    protected abstract void EndKeys(in KeyTile keys);

    /// <summary>The keys of a panel that some row of a block sees, from the panel's first on; 0 where none does.</summary>
    protected int Keys(int row, int rows, int panel) => Math.Min(Panel, _visible[row + rows - 1] - panel);

    /// <summary>The scores of a block of gathered rows and the first keys of a panel. Valid until the next is asked for.</summary>
    /// <param name="queries">The block's packed rows.</param>
    /// <param name="row">The first row of the block.</param>
    /// <param name="keysTransposed">The packed tile of keys.</param>
    /// <param name="panel">The first key.</param>
    /// <param name="vectors">The length of the run.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    protected Scores<V, S> Scores(float* queries, int row, float* keysTransposed, int panel, int vectors)
    {
        bool isMasked = _visible[row] < panel + (vectors * S.Width);
        if (isMasked)
        {
            for (int i = 0; i < Tile.BlockRows; i++) (Mask[i], Mask[Tile.BlockLanes + i]) = (0, _visible[row + i] - panel - 1);
        }

        return new()
        {
            HeadSize = HeadSize,
            Queries = queries,
            RowStride = PaddedSize,
            KeysTransposed = keysTransposed + panel,
            IsMasked = isMasked,
            FirstVisible = Mask,
            LastVisible = Mask + Tile.BlockLanes,
        };
    }

    /// <summary>Where a head of a token's query lies in [B, T, H].</summary>
    protected long HeadIndex(int token, int member) =>
        ((((long)Range.Blocks.Segment.Batch * Problem.Shape.Tokens) + Query(token)) * Problem.Shape.Heads) + Head(member);

    /// <summary>Where it lies in [B, H, T].</summary>
    protected long LseIndex(int token, int member) =>
        ((((long)Range.Blocks.Segment.Batch * Problem.Shape.Heads) + Head(member)) * Problem.Shape.Tokens) + Query(token);

    /// <summary>target = row, D in whole vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    protected void Copy(float* row, float* target)
    {
        for (int d = 0; d < PaddedSize; d += S.Width) S.Store(S.Load(row + d), target + d);
    }

    private void Gather(in KeyTile keys, ReadOnlySpan<int> tokens, ref int token, ref int member)
    {
        for (_count = 0; _count < Tile.Size && token < tokens.Length; _count++)
        {
            _rows[_count] = ((tokens[token] - Range.First) * Group) + member;
            _heads[_count] = HeadIndex(tokens[token], member);
            _visible[_count] = _pattern.Visible(Range.Blocks, keys, tokens[token]);
            if (++member < Group) continue;
            member = 0;
            token++;
        }
    }

    private int Head(int member) => (Range.KeyHead * Group) + member;

    private int Query(int token) => Range.Blocks.Segment.Start + token - Problem.FirstQuery;
}
