using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// How a work item goes through its band, forward and backward alike. Tiles of keys stream past once, in order; a tile of queries
/// enters when the first key it sees comes by and leaves when its own keys have passed. What is open at a time is a window's worth,
/// which is what the second-level cache holds.
/// </summary>
/// <remarks>Positions and tiles are counted from the segment's start. A member is a query head of the item's group.</remarks>
internal abstract unsafe class TileWalk<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private float* _keyBias, _rowBias, _firstVisible, _lastVisible;
    private DecayPrefix[] _prefixes = [];

    protected TileWalk(GatedWindowProblem problem, WorkItem item)
    {
        (Problem, Item, Visible) = (problem, item, problem.Visible);
        HeadSize = problem.Shape.HeadSize;
        PaddedSize = Tile.PaddedSize(HeadSize, S.Width);
        Group = problem.Shape.GroupSize;
        FirstKeyTile = Visible.FirstKeyTile(item.FirstRow);
        KeyTiles = item.LastRowTile - FirstKeyTile + 1;
    }

    protected GatedWindowProblem Problem { get; }

    protected WorkItem Item { get; }

    protected VisibleBlocks Visible { get; }

    /// <summary>D.</summary>
    protected int HeadSize { get; }

    /// <summary>D in whole vectors: the width of packed rows.</summary>
    protected int PaddedSize { get; }

    /// <summary>Query heads that share the key head.</summary>
    protected int Group { get; }

    protected int FirstKeyTile { get; }

    protected int KeyTiles { get; }

    protected int RowTiles => Item.LastRowTile - Item.FirstRowTile + 1;

    /// <summary>Floats of a tile of packed rows.</summary>
    protected int TileFloats => Tile.Size * PaddedSize;

    /// <summary>Keys that a micro-kernel takes at once: the whole tile with AVX-512.</summary>
    protected static int Panel => Tile.MaxVectors(S.Width) * S.Width;

    /// <summary>Goes through the band.</summary>
    /// <param name="alpha">The decay, or missing.</param>
    protected void Walk(HeadRows alpha)
    {
        using CpuStorage biases = CpuMemory.Rent(Tile.Size + (3 * Tile.BlockLanes));
        using CpuStorage prefixes = CpuMemory.Rent(2 * Group * DecayPrefix.Doubles(KeyTiles));
        _keyBias = biases.Floats;
        _rowBias = _keyBias + Tile.Size;
        _firstVisible = _rowBias + Tile.BlockLanes;
        _lastVisible = _firstVisible + Tile.BlockLanes;
        new Span<float>(_rowBias, Tile.BlockLanes).Clear();
        _prefixes = new DecayPrefix[Group];
        for (int member = 0; member < Group; member++)
        {
            double* memory = (double*)prefixes.Pointer + (member * DecayPrefix.Doubles(KeyTiles));
            float* first = alpha.At(Item.Segment.Batch, Item.Segment.Start, Head(member));
            _prefixes[member] = new DecayPrefix(memory, first, alpha.RowStride, Item.Segment.Length, FirstKeyTile, KeyTiles);
        }

        int entered = Item.FirstRowTile;
        for (int keyTile = FirstKeyTile; keyTile <= Item.LastRowTile; keyTile++)
        {
            BeginKeys(keyTile);
            int last = Math.Min(Item.LastRowTile, Visible.LastRowTile(keyTile));
            for (; entered <= last; entered++)
            {
                for (int member = 0; member < Group; member++) Enter(member, entered);
            }

            for (int rowTile = Math.Max(keyTile, Item.FirstRowTile); rowTile <= last; rowTile++)
            {
                for (int member = 0; member < Group; member++) Meet(member, rowTile, keyTile);
            }

            EndKeys(keyTile);
            if (keyTile < Item.FirstRowTile) continue;
            for (int member = 0; member < Group; member++) Leave(member, keyTile);
        }
    }

    /// <summary>Packs a tile of keys.</summary>
    protected abstract void BeginKeys(int keyTile);

    /// <summary>Packs a tile of queries.</summary>
    protected abstract void Enter(int member, int rowTile);

    /// <summary>All that a tile of queries and a tile of keys have to do with each other.</summary>
    protected abstract void Meet(int member, int rowTile, int keyTile);

    /// <summary>No query of the item sees these keys again.</summary>
    protected abstract void EndKeys(int keyTile);

    /// <summary>These queries have seen all their keys.</summary>
    protected abstract void Leave(int member, int rowTile);

    /// <summary>The scores of a block of rows and a run of a tile's keys. Valid until the next is asked for.</summary>
    /// <param name="member">The query head.</param>
    /// <param name="queries">The block's packed rows.</param>
    /// <param name="row">The position of the first row.</param>
    /// <param name="rows">Rows of the block.</param>
    /// <param name="keysTransposed">The packed tile of keys.</param>
    /// <param name="keyTile">Which tile.</param>
    /// <param name="key">The first key of the run, a whole number of vectors into the tile.</param>
    /// <param name="vectors">The length of the run.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    protected Scores<V, S> Scores(int member, float* queries, int row, int rows, float* keysTransposed, int keyTile, int key, int vectors)
    {
        _prefixes[member].KeyBias(row, keyTile, key, vectors * S.Width, _keyBias);
        _prefixes[member].RowBias(row, rows, _rowBias);
        bool isMasked = !Visible.IsWhole(row, rows, keyTile);
        if (isMasked) MarkVisible(row, keyTile, key);
        return new()
        {
            HeadSize = HeadSize,
            Queries = queries,
            RowStride = PaddedSize,
            KeysTransposed = keysTransposed + key,
            KeyBias = _keyBias,
            RowBias = _rowBias,
            IsMasked = isMasked,
            FirstVisible = _firstVisible,
            LastVisible = _lastVisible,
        };
    }

    /// <summary>What each row of a block sees of a run: every further row sees one key later.</summary>
    private void MarkVisible(int row, int keyTile, int key)
    {
        (int first, int last) = Visible.Row(row, keyTile);
        for (int i = 0; i < Tile.BlockRows; i++) (_firstVisible[i], _lastVisible[i]) = (first - key + i, last - key + i);
    }

    /// <summary>The position in its row of the batch of a position of the segment.</summary>
    protected int Position(int row) => Item.Segment.Start + row;

    /// <summary>The query at a position of the segment.</summary>
    protected int Query(int row) => Position(row) - Problem.FirstQuery;

    protected int Head(int member) => (Item.KeyHead * Group) + member;

    /// <summary>Where the lse of a head's first query lies in [B, H, T].</summary>
    protected long LseOffset(int member) => (((long)Item.Segment.Batch * Problem.Shape.Heads) + Head(member)) * Problem.Shape.Tokens;

    /// <summary>Keys of a tile; the segment's last tile may have fewer than 64.</summary>
    protected int KeysIn(int keyTile) => Math.Min(Tile.Size, Item.Segment.Length - (keyTile * Tile.Size));

    /// <summary>The positions of a tile's queries that belong to the item.</summary>
    protected (int First, int End) Rows(int rowTile) =>
        (Math.Max(Item.FirstRow, rowTile * Tile.Size), Math.Min(Item.EndRow, (rowTile + 1) * Tile.Size));
}
