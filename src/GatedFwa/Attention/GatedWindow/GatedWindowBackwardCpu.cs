using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The backward pass of one work item: probabilities are computed anew from lse, then five products a tile. Tiles of keys stream
/// past as in the forward pass, each with its dK and dV; queries bring q and dO and leave with dq.
/// </summary>
internal sealed unsafe class GatedWindowBackwardCpu<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly GatedWindowProblem _problem;
    private readonly BackwardOperands _operands;
    private readonly WorkItem _item;
    private readonly KeyGradientHalo<V, S> _halo;
    private readonly VisibleBlocks _visible;
    private readonly int _headSize, _padded, _group, _firstKeyTile, _keyTiles;

    private float* _rows, _keys, _keysTransposed, _values, _valuesTransposed, _keyGradients, _valueGradients, _p, _scoreGradients, _keyBias, _rowBias, _tileSums;

    private GatedWindowBackwardCpu(GatedWindowProblem problem, BackwardOperands operands, WorkItem item, KeyGradientHalo<V, S> halo)
    {
        (_problem, _operands, _item, _halo, _visible) = (problem, operands, item, halo, problem.Visible);
        _headSize = problem.Shape.HeadSize;
        _padded = Tile.PaddedSize(_headSize, S.Width);
        _group = problem.Shape.GroupSize;
        _firstKeyTile = halo.FirstKeyTile;
        _keyTiles = item.LastRowTile - _firstKeyTile + 1;
    }

    // What a tile of queries keeps while it is open: q, dO, dq, and for each row lse, δ and a vector of sums of dS.
    private int QueryFloats => Tile.Size * _padded;

    private int RowTileFloats => (3 * QueryFloats) + (2 * Tile.Size) + (Tile.Size * S.Width);

    public static void Run(GatedWindowProblem problem, BackwardOperands operands)
    {
        WorkItem[] items = WorkItem.ForBackward(problem);
        KeyGradientHalo<V, S>[] halos = [.. items.Select(item => new KeyGradientHalo<V, S>(problem, item))];
        WorkerPool.Shared.For(items.Length, i => new GatedWindowBackwardCpu<V, S>(problem, operands, items[i], halos[i]).Run());
        KeyGradientHalo<V, S>.AddAll(halos, operands);
        foreach (KeyGradientHalo<V, S> halo in halos) halo.Dispose();
    }

    private void Run()
    {
        int tileFloats = Tile.Size * _padded, rowTiles = _item.LastRowTile - _item.FirstRowTile + 1;
        using CpuStorage tiles = CpuMemory.Rent((6L * tileFloats) + (Tile.Size * ((2 * Tile.Size) + 2)) + Tile.BlockLanes);
        using CpuStorage rows = CpuMemory.Rent((long)rowTiles * _group * RowTileFloats);
        using CpuStorage prefixes = CpuMemory.Rent(2 * _group * DecayPrefix.Doubles(_keyTiles));
        _rows = rows.Floats;
        _keys = tiles.Floats;
        _keysTransposed = _keys + tileFloats;
        _values = _keysTransposed + tileFloats;
        _valuesTransposed = _values + tileFloats;
        _keyGradients = _valuesTransposed + tileFloats;
        _valueGradients = _keyGradients + tileFloats;
        _p = _valueGradients + tileFloats;
        _scoreGradients = _p + (Tile.Size * Tile.Size);
        _keyBias = _scoreGradients + (Tile.Size * Tile.Size);
        _tileSums = _keyBias + Tile.Size;
        _rowBias = _tileSums + Tile.Size;
        new Span<float>(_rowBias, Tile.BlockLanes).Clear();

        var prefix = new DecayPrefix[_group];
        var decay = new DecayGradient[_group];
        for (int member = 0; member < _group; member++)
        {
            prefix[member] = new DecayPrefix(
                (double*)prefixes.Pointer + (member * DecayPrefix.Doubles(_keyTiles)),
                _operands.Forward.Alpha.At(_item.Segment.Batch, _item.Segment.Start, Head(member)),
                _operands.Forward.Alpha.RowStride,
                _item.Segment.Length,
                _firstKeyTile,
                _keyTiles);
            decay[member] = new DecayGradient(_firstKeyTile, _keyTiles);
        }

        int entered = _item.FirstRowTile;
        for (int keyTile = _firstKeyTile; keyTile <= _item.LastRowTile; keyTile++)
        {
            PackKeys(keyTile);
            int last = Math.Min(_item.LastRowTile, _visible.LastRowTile(keyTile));
            for (; entered <= last; entered++)
            {
                for (int member = 0; member < _group; member++) Enter(member, entered);
            }

            for (int rowTile = Math.Max(keyTile, _item.FirstRowTile); rowTile <= last; rowTile++)
            {
                for (int member = 0; member < _group; member++) Differentiate(prefix[member], decay[member], member, rowTile, keyTile);
            }

            StoreKeyGradients(keyTile);
            if (keyTile < _item.FirstRowTile) continue;
            for (int member = 0; member < _group; member++) Leave(decay[member], member, keyTile);
        }

        for (int member = 0; member < _group; member++) StoreDecayGradient(decay[member], member);
    }

    private void PackKeys(int keyTile)
    {
        int start = keyTile * Tile.Size, count = KeysIn(keyTile);
        (int batch, int position) = (_item.Segment.Batch, _item.Segment.Start + start);
        (HeadRows k, HeadRows v) = (_operands.Forward.K, _operands.Forward.V);
        TilePacking<V, S>.Pack(k.At(batch, position, _item.KeyHead), k.RowStride, count, _headSize, 1, _keys);
        TilePacking<V, S>.Transpose(_keys, _headSize, _keysTransposed);
        TilePacking<V, S>.Pack(v.At(batch, position, _item.KeyHead), v.RowStride, count, _headSize, 1, _values);
        TilePacking<V, S>.Transpose(_values, _headSize, _valuesTransposed);
        new Span<float>(_keyGradients, 2 * QueryFloats).Clear();
    }

    private void Enter(int member, int rowTile)
    {
        (int first, int end) = Rows(rowTile);
        (int batch, int query, int head, int count) = (_item.Segment.Batch, Query(first), Head(member), end - first);
        float* queries = RowTile(member, rowTile), outputGradients = queries + QueryFloats, queryGradients = outputGradients + QueryFloats;
        float* lseLog2 = queryGradients + QueryFloats, delta = lseLog2 + Tile.Size;
        ForwardOperands forward = _operands.Forward;
        TilePacking<V, S>.Pack(forward.Q.At(batch, query, head), forward.Q.RowStride, count, _headSize, (float)(_problem.Scale * Units.Log2E), queries);
        TilePacking<V, S>.Pack(_operands.OutputGradient.At(batch, query, head), _operands.OutputGradient.RowStride, count, _headSize, 1, outputGradients);
        new Span<float>(queryGradients, RowTileFloats - (2 * QueryFloats)).Clear();
        // A row that is not there has no probability.
        new Span<float>(lseLog2, Tile.Size).Fill(float.PositiveInfinity);

        GatedWindowShape shape = _problem.Shape;
        float* lse = forward.Lse + ((((long)batch * shape.Heads) + head) * shape.Tokens) + query;
        for (int i = 0; i < count; i++)
        {
            float* o = forward.O.At(batch, query + i, head), dO = outputGradients + (i * _padded);
            delta[i] = TilePacking<V, S>.Dot(dO, o, _headSize);
            lseLog2[i] = (float)(lse[i] * Units.Log2E);
        }
    }

    private void Differentiate(in DecayPrefix prefix, DecayGradient decay, int member, int rowTile, int keyTile)
    {
        (int first, int end) = Rows(rowTile);
        float* queries = RowTile(member, rowTile), outputGradients = queries + QueryFloats, queryGradients = outputGradients + QueryFloats;
        // What lies outside the band weighs nothing in the products that run down the columns.
        if (!_visible.IsWhole(first, end - first, keyTile)) new Span<float>(_p, 2 * Tile.Size * Tile.Size).Clear();
        new Span<float>(_tileSums, Tile.Size).Clear();
        for (int row = first; row < end; row += Tile.BlockRows) ScoreGradients(prefix, queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile);

        int origin = rowTile * Tile.Size;
        for (int key = 0; key < Tile.Size; key += Tile.BlockRows)
        {
            int keys = Math.Min(Tile.BlockRows, Tile.Size - key);
            (int from, int to) = _visible.Rows((keyTile * Tile.Size) + key, keys, rowTile);
            from = Math.Max(from + origin, first) - first;
            to = Math.Min(to + origin, end) - first;
            if (from >= to) continue;
            int a = (from * Tile.Size) + key, b = from * _padded, c = key * _padded;
            TileProduct<V, S>.Add(keys, to - from, _p + a, 1, Tile.Size, outputGradients + b, _valueGradients + c, _padded);
            TileProduct<V, S>.Add(keys, to - from, _scoreGradients + a, 1, Tile.Size, queries + b, _keyGradients + c, _padded);
        }

        for (int row = first; row < end; row += Tile.BlockRows)
        {
            int rows = Math.Min(Tile.BlockRows, end - row), offset = row - first;
            (int from, int to) = _visible.Keys(row, rows, keyTile);
            if (from >= to) continue;
            TileProduct<V, S>.Add(rows, to - from, _scoreGradients + (offset * Tile.Size) + from, Tile.Size, 1, _keys + (from * _padded), queryGradients + (offset * _padded), _padded);
        }

        decay.Add(_tileSums, rowTile, keyTile);
    }

    /// <summary>P and dS of a block of rows, and the sums of dS.</summary>
    private void ScoreGradients(in DecayPrefix prefix, float* queries, int row, int rows, int offset, int keyTile)
    {
        (int firstKey, int endKey) = _visible.Keys(row, rows, keyTile);
        if (firstKey >= endKey) return;
        prefix.KeyBias(row, keyTile, 0, Tile.Size, _keyBias);
        prefix.RowBias(row, rows, _rowBias);
        (int firstVisible, int lastVisible) = _visible.Row(row, keyTile);
        float* outputGradients = queries + QueryFloats + (offset * _padded), lseLog2 = queries + (3 * QueryFloats) + offset;
        float* delta = lseLog2 + Tile.Size, rowSums = queries + (3 * QueryFloats) + (2 * Tile.Size) + (offset * S.Width);
        bool isMasked = !_visible.IsWhole(row, rows, keyTile);
        int panel = TileProduct<V, S>.MaxVectors * S.Width;
        for (int key = firstKey / S.Width * S.Width; key < endKey; key += panel)
        {
            int vectors = (Math.Min(panel, endKey - key) + S.Width - 1) / S.Width;
            var block = new ScoreBlock
            {
                HeadSize = _headSize,
                Queries = queries + (offset * _padded),
                RowStride = _padded,
                KeysTransposed = _keysTransposed + key,
                KeyBias = _keyBias + key,
                RowBias = _rowBias,
                IsMasked = isMasked,
                FirstVisible = firstVisible - key,
                LastVisible = lastVisible - key,
            };
            int at = (offset * Tile.Size) + key;
            if (rows > Tile.LastBlockRows) ScoreGradients<Six>(vectors, block, lseLog2, outputGradients, delta, rowSums, at, key);
            else ScoreGradients<Four>(vectors, block, lseLog2, outputGradients, delta, rowSums, at, key);
        }
    }

    private void ScoreGradients<R>(int vectors, in ScoreBlock block, float* lseLog2, float* outputGradients, float* delta, float* rowSums, int at, int key)
        where R : struct, ICount
    {
        switch (vectors)
        {
            case 4:
                ScoreTile<V, S, R, Four>.Probabilities(block, lseLog2, _p + at);
                ScoreGradientTile<V, S, R, Four>.Compute(_headSize, outputGradients, _padded, _valuesTransposed + key, delta, _p + at, _scoreGradients + at, rowSums, _tileSums + key);
                break;
            case 3:
                ScoreTile<V, S, R, Three>.Probabilities(block, lseLog2, _p + at);
                ScoreGradientTile<V, S, R, Three>.Compute(_headSize, outputGradients, _padded, _valuesTransposed + key, delta, _p + at, _scoreGradients + at, rowSums, _tileSums + key);
                break;
            case 2:
                ScoreTile<V, S, R, Two>.Probabilities(block, lseLog2, _p + at);
                ScoreGradientTile<V, S, R, Two>.Compute(_headSize, outputGradients, _padded, _valuesTransposed + key, delta, _p + at, _scoreGradients + at, rowSums, _tileSums + key);
                break;
            default:
                ScoreTile<V, S, R, One>.Probabilities(block, lseLog2, _p + at);
                ScoreGradientTile<V, S, R, One>.Compute(_headSize, outputGradients, _padded, _valuesTransposed + key, delta, _p + at, _scoreGradients + at, rowSums, _tileSums + key);
                break;
        }
    }

    private void StoreKeyGradients(int keyTile)
    {
        // q was packed as q · scale · log2 e, and dk wants q · scale.
        const float keyFactor = (float)Units.Ln2;
        if (_halo.Holds(keyTile))
        {
            TilePacking<V, S>.Pack(_keyGradients, _padded, Tile.Size, _padded, keyFactor, _halo.KeyGradients(keyTile));
            TilePacking<V, S>.Pack(_valueGradients, _padded, Tile.Size, _padded, 1, _halo.ValueGradients(keyTile));
            return;
        }

        (int batch, int position, int count) = (_item.Segment.Batch, _item.Segment.Start + (keyTile * Tile.Size), KeysIn(keyTile));
        (HeadRows dk, HeadRows dv) = (_operands.Dk, _operands.Dv);
        if (!dk.IsMissing) TilePacking<V, S>.UnpackAdd(_keyGradients, count, _headSize, keyFactor, dk.At(batch, position, _item.KeyHead), dk.RowStride);
        if (!dv.IsMissing) TilePacking<V, S>.UnpackAdd(_valueGradients, count, _headSize, 1, dv.At(batch, position, _item.KeyHead), dv.RowStride);
    }

    private void Leave(DecayGradient decay, int member, int rowTile)
    {
        (int first, int end) = Rows(rowTile);
        float* queryGradients = RowTile(member, rowTile) + (2 * QueryFloats), rowSums = queryGradients + QueryFloats + (2 * Tile.Size);
        HeadRows dq = _operands.Dq;
        if (!dq.IsMissing) TilePacking<V, S>.UnpackAdd(queryGradients, end - first, _headSize, _problem.Scale, dq.At(_item.Segment.Batch, Query(first), Head(member)), dq.RowStride);
        for (int row = first; row < end; row++) decay.SetRowSum(row, S.Sum(S.Load(rowSums + ((row - first) * S.Width))));
    }

    private void StoreDecayGradient(DecayGradient decay, int member)
    {
        HeadRows dalpha = _operands.Dalpha;
        if (dalpha.IsMissing) return;
        ReadOnlySpan<float> gradient = decay.Finish();
        for (int keyTile = _firstKeyTile; keyTile <= _item.LastRowTile; keyTile++)
        {
            ReadOnlySpan<float> tile = gradient.Slice((keyTile - _firstKeyTile) * Tile.Size, Tile.Size);
            if (_halo.Holds(keyTile))
            {
                tile.CopyTo(new Span<float>(_halo.DecayGradients(keyTile, member), Tile.Size));
                continue;
            }

            int position = _item.Segment.Start + (keyTile * Tile.Size);
            for (int i = 0; i < KeysIn(keyTile); i++) *dalpha.At(_item.Segment.Batch, position + i, Head(member)) += tile[i];
        }
    }

    private int Head(int member) => (_item.KeyHead * _group) + member;

    private int KeysIn(int keyTile) => Math.Min(Tile.Size, _item.Segment.Length - (keyTile * Tile.Size));

    private int Query(int row) => _item.Segment.Start + row - _problem.FirstQuery;

    private (int First, int End) Rows(int rowTile) => (Math.Max(_item.FirstRow, rowTile * Tile.Size), Math.Min(_item.EndRow, (rowTile + 1) * Tile.Size));

    private float* RowTile(int member, int rowTile) => _rows + ((((long)(rowTile - _item.FirstRowTile) * _group) + member) * RowTileFloats);
}
