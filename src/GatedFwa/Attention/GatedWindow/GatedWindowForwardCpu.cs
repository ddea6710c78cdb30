using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The forward pass of one work item. Tiles of keys stream past once, in order; a tile of queries enters when the first key it sees
/// comes by and leaves when its own keys have passed. In between, its softmax is online.
/// </summary>
internal sealed unsafe class GatedWindowForwardCpu<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly GatedWindowProblem _problem;
    private readonly ForwardOperands _operands;
    private readonly WorkItem _item;
    private readonly VisibleBlocks _visible;
    private readonly int _headSize, _padded, _group, _firstKeyTile;

    private float* _rows, _keys, _keysTransposed, _values, _p, _keyBias, _rowBias, _rescale;
    private double* _prefixes;

    private GatedWindowForwardCpu(GatedWindowProblem problem, ForwardOperands operands, WorkItem item)
    {
        (_problem, _operands, _item, _visible) = (problem, operands, item, problem.Visible);
        _headSize = problem.Shape.HeadSize;
        _padded = Tile.PaddedSize(_headSize, S.Width);
        _group = problem.Shape.GroupSize;
        _firstKeyTile = _visible.FirstKeyTile(item.FirstRow);
    }

    // Keys that a micro-kernel takes at once: the whole tile with AVX-512.
    private static int Panel => TileProduct<V, S>.MaxVectors * S.Width;

    // What a tile of queries keeps while it is open: q and o, and for the softmax the maxima (a vector for each block of rows)
    // and sums (a vector for each row).
    private int QueryFloats => Tile.Size * _padded;

    private int RowTileFloats => (2 * QueryFloats) + (Tile.MaxBlocks * Tile.BlockLanes) + (Tile.Size * S.Width);

    public static void Run(GatedWindowProblem problem, ForwardOperands operands)
    {
        WorkItem[] items = WorkItem.ForForward(problem);
        // The last rows see most: they go first, so that no thread is left alone with them.
        WorkerPool.Shared.For(items.Length, i => new GatedWindowForwardCpu<V, S>(problem, operands, items[^(i + 1)]).Run());
    }

    private void Run()
    {
        int tileFloats = Tile.Size * _padded, keyTiles = _item.LastRowTile - _firstKeyTile + 1, rowTiles = _item.LastRowTile - _item.FirstRowTile + 1;
        using CpuStorage tiles = CpuMemory.Rent((3L * tileFloats) + (Tile.Size * (Tile.Size + 1)) + ((Tile.MaxBlocks + 1) * Tile.BlockLanes));
        using CpuStorage rows = CpuMemory.Rent((long)rowTiles * _group * RowTileFloats);
        using CpuStorage prefixes = CpuMemory.Rent(2 * _group * DecayPrefix.Doubles(keyTiles));
        _rows = rows.Floats;
        _prefixes = (double*)prefixes.Pointer;
        _keys = tiles.Floats;
        _keysTransposed = _keys + tileFloats;
        _values = _keysTransposed + tileFloats;
        _p = _values + tileFloats;
        _keyBias = _p + (Tile.Size * Tile.Size);
        _rowBias = _keyBias + Tile.Size;
        _rescale = _rowBias + Tile.BlockLanes;
        new Span<float>(_rowBias, (Tile.MaxBlocks + 1) * Tile.BlockLanes).Clear();

        var prefix = new DecayPrefix[_group];
        for (int member = 0; member < _group; member++) prefix[member] = Prefix(member, keyTiles);
        int entered = _item.FirstRowTile;
        for (int keyTile = _firstKeyTile; keyTile <= _item.LastRowTile; keyTile++)
        {
            PackKeys(keyTile);
            int last = Math.Min(_item.LastRowTile, _visible.LastRowTile(keyTile));
            for (; entered <= last; entered++) ForGroup(entered, Enter);
            for (int rowTile = Math.Max(keyTile, _item.FirstRowTile); rowTile <= last; rowTile++)
            {
                for (int member = 0; member < _group; member++) Attend(prefix[member], member, rowTile, keyTile);
            }

            if (keyTile >= _item.FirstRowTile) ForGroup(keyTile, Leave);
        }
    }

    private void ForGroup(int rowTile, Action<int, int> act)
    {
        for (int member = 0; member < _group; member++) act(member, rowTile);
    }

    private DecayPrefix Prefix(int member, int tiles) => new(
        _prefixes + (member * DecayPrefix.Doubles(tiles)),
        _operands.Alpha.At(_item.Segment.Batch, _item.Segment.Start, Head(member)),
        _operands.Alpha.RowStride,
        _item.Segment.Length,
        _firstKeyTile,
        tiles);

    private void PackKeys(int keyTile)
    {
        int start = keyTile * Tile.Size, count = Math.Min(Tile.Size, _item.Segment.Length - start);
        (int batch, int position) = (_item.Segment.Batch, _item.Segment.Start + start);
        TilePacking<V, S>.Pack(_operands.K.At(batch, position, _item.KeyHead), _operands.K.RowStride, count, _headSize, 1, _keys);
        TilePacking<V, S>.Transpose(_keys, _headSize, _keysTransposed);
        TilePacking<V, S>.Pack(_operands.V.At(batch, position, _item.KeyHead), _operands.V.RowStride, count, _headSize, 1, _values);
    }

    private void Enter(int member, int rowTile)
    {
        float* queries = RowTile(member, rowTile);
        (int first, int end) = Rows(rowTile);
        float scaleLog2 = (float)(_problem.Scale * Units.Log2E);
        TilePacking<V, S>.Pack(_operands.Q.At(_item.Segment.Batch, Query(first), Head(member)), _operands.Q.RowStride, end - first, _headSize, scaleLog2, queries);
        float* max = queries + (2 * QueryFloats);
        new Span<float>(queries + QueryFloats, RowTileFloats - QueryFloats).Clear();
        new Span<float>(max, Tile.MaxBlocks * Tile.BlockLanes).Fill(OnlineSoftmax.NothingSeen);
    }

    /// <summary>
    /// All that a tile of queries takes from a tile of keys. Scores of all its rows first, products with the values afterwards:
    /// each half keeps one tile of keys or values in the first-level cache, and no row waits for its own softmax.
    /// </summary>
    private void Attend(in DecayPrefix prefix, int member, int rowTile, int keyTile)
    {
        float* queries = RowTile(member, rowTile);
        (int first, int end) = Rows(rowTile);
        for (int panel = 0; panel < Tile.Size; panel += Panel)
        {
            for (int row = first; row < end; row += Tile.BlockRows) Scores(prefix, queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile, panel);
            for (int row = first; row < end; row += Tile.BlockRows) AddValues(queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile, panel);
        }
    }

    private void Scores(in DecayPrefix prefix, float* queries, int row, int rows, int offset, int keyTile, int panel)
    {
        (int firstKey, int endKey) = _visible.Keys(row, rows, keyTile, panel, Panel);
        if (firstKey >= endKey) return;
        int key = firstKey / S.Width * S.Width, vectors = (endKey - key + S.Width - 1) / S.Width;
        prefix.KeyBias(row, keyTile, key, vectors * S.Width, _keyBias);
        prefix.RowBias(row, rows, _rowBias);
        (int firstVisible, int lastVisible) = _visible.Row(row, keyTile);
        var block = new ScoreBlock
        {
            HeadSize = _headSize,
            Queries = queries + (offset * _padded),
            RowStride = _padded,
            KeysTransposed = _keysTransposed + key,
            KeyBias = _keyBias,
            RowBias = _rowBias,
            IsMasked = !_visible.IsWhole(row, rows, keyTile),
            FirstVisible = firstVisible - key,
            LastVisible = lastVisible - key,
        };
        int lanes = offset / Tile.BlockRows * Tile.BlockLanes;
        float* max = queries + (2 * QueryFloats) + lanes, sums = queries + (2 * QueryFloats) + (Tile.MaxBlocks * Tile.BlockLanes) + (offset * S.Width);
        float* p = _p + (offset * Tile.Size) + key;
        if (rows > Tile.LastBlockRows) Scores<Six>(vectors, block, max, _rescale + lanes, sums, p);
        else Scores<Four>(vectors, block, max, _rescale + lanes, sums, p);
    }

    private void AddValues(float* queries, int row, int rows, int offset, int keyTile, int panel)
    {
        (int firstKey, int endKey) = _visible.Keys(row, rows, keyTile, panel, Panel);
        if (firstKey >= endKey) return;
        float* p = _p + (offset * Tile.Size) + firstKey, values = _values + (firstKey * _padded), outputs = queries + QueryFloats + (offset * _padded);
        TileProduct<V, S>.Add(rows, endKey - firstKey, p, Tile.Size, 1, values, outputs, _padded, _rescale + (offset / Tile.BlockRows * Tile.BlockLanes));
    }

    private static void Scores<R>(int vectors, in ScoreBlock block, float* max, float* rescale, float* sums, float* p)
        where R : struct, ICount
    {
        switch (vectors)
        {
            case 4:
                ScoreTile<V, S, R, Four>.Attend(block, max, rescale, sums, p);
                break;
            case 3:
                ScoreTile<V, S, R, Three>.Attend(block, max, rescale, sums, p);
                break;
            case 2:
                ScoreTile<V, S, R, Two>.Attend(block, max, rescale, sums, p);
                break;
            default:
                ScoreTile<V, S, R, One>.Attend(block, max, rescale, sums, p);
                break;
        }
    }

    private void Leave(int member, int rowTile)
    {
        float* outputs = RowTile(member, rowTile) + QueryFloats, max = outputs + QueryFloats, sums = max + (Tile.MaxBlocks * Tile.BlockLanes);
        (int first, int end) = Rows(rowTile);
        GatedWindowShape shape = _problem.Shape;
        float* lse = _operands.Lse + ((((long)_item.Segment.Batch * shape.Heads) + Head(member)) * shape.Tokens) + Query(first);
        for (int i = 0; i < end - first; i++)
        {
            float sum = S.Sum(S.Load(sums + (i * S.Width)));
            float* output = _operands.O.At(_item.Segment.Batch, Query(first + i), Head(member));
            TilePacking<V, S>.Unpack(outputs + (i * _padded), _headSize, 1 / sum, output);
            lse[i] = (float)((max[(i / Tile.BlockRows * Tile.BlockLanes) + (i % Tile.BlockRows)] + Math.Log2(sum)) * Units.Ln2);
        }
    }

    private int Head(int member) => (_item.KeyHead * _group) + member;

    /// <summary>The query at a position of the segment.</summary>
    private int Query(int row) => _item.Segment.Start + row - _problem.FirstQuery;

    /// <summary>The positions of a tile's queries that belong to the item.</summary>
    private (int First, int End) Rows(int rowTile) => (Math.Max(_item.FirstRow, rowTile * Tile.Size), Math.Min(_item.EndRow, (rowTile + 1) * Tile.Size));

    private float* RowTile(int member, int rowTile) => _rows + ((((long)(rowTile - _item.FirstRowTile) * _group) + member) * RowTileFloats);
}
