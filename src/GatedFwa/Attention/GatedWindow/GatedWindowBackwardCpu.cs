using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The backward pass of one work item. Probabilities are computed anew from lse; then five products a tile. Tiles of keys bring
/// their gradients along, tiles of queries theirs.
/// </summary>
internal sealed unsafe class GatedWindowBackwardCpu<V, S> : TileWalk<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly BackwardOperands _operands;
    private readonly KeyGradientHalo<V, S> _halo;
    private readonly DecayGradient[] _decay;
    private float* _rowTiles, _keys, _keysTransposed, _valuesTransposed, _keyGradients, _valueGradients, _p, _scoreGradients, _keySums;

    private GatedWindowBackwardCpu(GatedWindowProblem problem, BackwardOperands operands, WorkItem item, KeyGradientHalo<V, S> halo)
        : base(problem, item)
    {
        (_operands, _halo) = (operands, halo);
        _decay = new DecayGradient[operands.Dalpha.IsMissing ? 0 : Group];
        for (int member = 0; member < _decay.Length; member++) _decay[member] = new DecayGradient(FirstKeyTile, KeyTiles);
    }

    // What a tile of queries keeps: q, dO, dq, and for each row lse, δ and a vector of sums of dS.
    private int LseLog2Offset => 3 * TileFloats;

    private int DeltaOffset => LseLog2Offset + Tile.Size;

    private int RowSumsOffset => DeltaOffset + Tile.Size;

    private int RowTileFloats => RowSumsOffset + (Tile.Size * S.Width);

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
        using CpuStorage tiles = CpuMemory.Rent((5L * TileFloats) + (2 * Tile.Size * Tile.Size) + Tile.Size);
        using CpuStorage rowTiles = CpuMemory.Rent((long)RowTiles * Group * RowTileFloats);
        _rowTiles = rowTiles.Floats;
        _keys = tiles.Floats;
        _keysTransposed = _keys + TileFloats;
        _valuesTransposed = _keysTransposed + TileFloats;
        _keyGradients = _valuesTransposed + TileFloats;
        _valueGradients = _keyGradients + TileFloats;
        _p = _valueGradients + TileFloats;
        _scoreGradients = _p + (Tile.Size * Tile.Size);
        _keySums = _scoreGradients + (Tile.Size * Tile.Size);
        Walk(_operands.Forward.Alpha);
        for (int member = 0; member < _decay.Length; member++) StoreDecayGradients(member);
    }

    protected override void BeginKeys(int keyTile)
    {
        (int batch, int position, int count) = (Item.Segment.Batch, Position(keyTile * Tile.Size), KeysIn(keyTile));
        (HeadRows k, HeadRows v) = (_operands.Forward.K, _operands.Forward.V);
        // The values are needed transposed only; the gradients' room serves on the way.
        TilePacking<V, S>.Pack(v.At(batch, position, Item.KeyHead), v.RowStride, count, HeadSize, 1, _valueGradients);
        TilePacking<V, S>.Transpose(_valueGradients, HeadSize, _valuesTransposed);
        TilePacking<V, S>.Pack(k.At(batch, position, Item.KeyHead), k.RowStride, count, HeadSize, 1, _keys);
        TilePacking<V, S>.Transpose(_keys, HeadSize, _keysTransposed);
        new Span<float>(_keyGradients, 2 * TileFloats).Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Enter(int member, int rowTile)
    {
        (int first, int end) = Rows(rowTile);
        (int batch, int query, int head, int count) = (Item.Segment.Batch, Query(first), Head(member), end - first);
        float* queries = RowTile(member, rowTile), outputGradients = queries + TileFloats;
        float* lseLog2 = queries + LseLog2Offset, delta = queries + DeltaOffset;
        (HeadRows q, HeadRows o, HeadRows dO) = (_operands.Forward.Q, _operands.Forward.O, _operands.OutputGradient);
        TilePacking<V, S>.Pack(q.At(batch, query, head), q.RowStride, count, HeadSize, (float)(Problem.Scale * Units.Log2E), queries);
        TilePacking<V, S>.Pack(dO.At(batch, query, head), dO.RowStride, count, HeadSize, 1, outputGradients);
        new Span<float>(queries + (2 * TileFloats), RowTileFloats - (2 * TileFloats)).Clear();
        // A row that is not there has no probability.
        new Span<float>(lseLog2, Tile.Size).Fill(float.PositiveInfinity);
        float* lse = _operands.Forward.Lse + LseOffset(member) + query;
        for (int i = 0; i < count; i++)
        {
            lseLog2[i] = (float)(lse[i] * Units.Log2E);
            delta[i] = TilePacking<V, S>.Dot(outputGradients + (i * PaddedSize), o.At(batch, query + i, head), HeadSize);
        }
    }

    /// <remarks>Product by product, not row by row: each keeps one operand of a tile in the first-level cache.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Meet(int member, int rowTile, int keyTile)
    {
        (int first, int end) = Rows(rowTile);
        float* queries = RowTile(member, rowTile);
        // What lies outside the band weighs nothing in the products that run down the columns.
        if (!Visible.IsWhole(first, end - first, keyTile)) new Span<float>(_p, 2 * Tile.Size * Tile.Size).Clear();
        new Span<float>(_keySums, Tile.Size).Clear();
        for (int panel = 0; panel < Tile.Size; panel += Panel)
        {
            for (int row = first; row < end; row += Tile.BlockRows)
                ComputeProbabilities(member, queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile, panel);
            for (int row = first; row < end; row += Tile.BlockRows)
                ComputeScoreGradients(queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile, panel);
        }

        // dv = Pᵀ dO, dk = dSᵀ q, dq = dS k; the scale follows when they leave.
        AddKeyGradients(_p, queries + TileFloats, _valueGradients, rowTile, keyTile);
        AddKeyGradients(_scoreGradients, queries, _keyGradients, rowTile, keyTile);
        for (int row = first; row < end; row += Tile.BlockRows)
            AddQueryGradients(queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile);
        if (_decay.Length > 0) _decay[member].Add(_keySums, rowTile, keyTile);
    }

    protected override void EndKeys(int keyTile)
    {
        // q was packed as q · scale · log2 e, and dk wants q · scale.
        const float keyFactor = (float)Units.Ln2;
        if (_halo.Holds(keyTile))
        {
            TilePacking<V, S>.Pack(_keyGradients, PaddedSize, Tile.Size, PaddedSize, keyFactor, _halo.KeyGradients(keyTile));
            TilePacking<V, S>.Pack(_valueGradients, PaddedSize, Tile.Size, PaddedSize, 1, _halo.ValueGradients(keyTile));
            return;
        }

        (int batch, int position, int count) = (Item.Segment.Batch, Position(keyTile * Tile.Size), KeysIn(keyTile));
        (HeadRows dk, HeadRows dv) = (_operands.Dk, _operands.Dv);
        if (!dk.IsMissing)
            TilePacking<V, S>.UnpackAdd(_keyGradients, count, HeadSize, keyFactor, dk.At(batch, position, Item.KeyHead), dk.RowStride);
        if (!dv.IsMissing)
            TilePacking<V, S>.UnpackAdd(_valueGradients, count, HeadSize, 1, dv.At(batch, position, Item.KeyHead), dv.RowStride);
    }

    protected override void Leave(int member, int rowTile)
    {
        (int first, int end) = Rows(rowTile);
        float* queries = RowTile(member, rowTile);
        HeadRows dq = _operands.Dq;
        if (!dq.IsMissing)
        {
            TilePacking<V, S>.UnpackAdd(
                queries + (2 * TileFloats),
                end - first,
                HeadSize,
                Problem.Scale,
                dq.At(Item.Segment.Batch, Query(first), Head(member)),
                dq.RowStride);
        }

        if (_decay.Length == 0) return;
        for (int row = first; row < end; row++)
            _decay[member].SetRowSum(row, S.Sum(S.Load(queries + RowSumsOffset + ((row - first) * S.Width))));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ComputeProbabilities(int member, float* queries, int row, int rows, int offset, int keyTile, int panel)
    {
        (int firstKey, int endKey) = Visible.Keys(row, rows, keyTile, panel, Panel);
        if (firstKey >= endKey) return;
        int key = firstKey / S.Width * S.Width, vectors = (endKey - key + S.Width - 1) / S.Width;
        var kernel = new Probabilities<V, S>
        {
            Scores = Scores(member, queries + (offset * PaddedSize), row, rows, _keysTransposed, keyTile, key, vectors),
            LseLog2 = queries + LseLog2Offset + offset,
            P = _p + (offset * Tile.Size) + key,
        };
        TileKernel.Run(ref kernel, rows, vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ComputeScoreGradients(float* queries, int row, int rows, int offset, int keyTile, int panel)
    {
        (int firstKey, int endKey) = Visible.Keys(row, rows, keyTile, panel, Panel);
        if (firstKey >= endKey) return;
        int key = firstKey / S.Width * S.Width, vectors = (endKey - key + S.Width - 1) / S.Width;
        var kernel = new ScoreGradients<V, S>
        {
            HeadSize = HeadSize,
            OutputGradients = queries + TileFloats + (offset * PaddedSize),
            RowStride = PaddedSize,
            ValuesTransposed = _valuesTransposed + key,
            Delta = queries + DeltaOffset + offset,
            P = _p + (offset * Tile.Size) + key,
            Gradients = _scoreGradients + (offset * Tile.Size) + key,
            RowSums = queries + RowSumsOffset + (offset * S.Width),
            KeySums = _keySums + key,
        };
        TileKernel.Run(ref kernel, rows, vectors);
    }

    /// <summary>gradients += weightsᵀ · rows, keys that nobody sees left out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddKeyGradients(float* weights, float* rows, float* gradients, int rowTile, int keyTile)
    {
        (int first, int end) = Rows(rowTile);
        int origin = rowTile * Tile.Size;
        for (int key = 0; key < Tile.Size; key += Tile.BlockRows)
        {
            int keys = Math.Min(Tile.BlockRows, Tile.Size - key);
            (int from, int to) = Visible.Rows((keyTile * Tile.Size) + key, keys, rowTile);
            from = Math.Max(from + origin, first) - first;
            to = Math.Min(to + origin, end) - first;
            if (from >= to) continue;
            new AddProduct<V, S>
            {
                Depth = to - from,
                A = weights + (from * Tile.Size) + key,
                RowStride = 1,
                Step = Tile.Size,
                B = rows + (from * PaddedSize),
                C = gradients + (key * PaddedSize),
                Columns = PaddedSize,
            }.Run(keys);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddQueryGradients(float* queries, int row, int rows, int offset, int keyTile)
    {
        (int firstKey, int endKey) = Visible.Keys(row, rows, keyTile);
        if (firstKey >= endKey) return;
        new AddProduct<V, S>
        {
            Depth = endKey - firstKey,
            A = _scoreGradients + (offset * Tile.Size) + firstKey,
            RowStride = Tile.Size,
            Step = 1,
            B = _keys + (firstKey * PaddedSize),
            C = queries + (2 * TileFloats) + (offset * PaddedSize),
            Columns = PaddedSize,
        }.Run(rows);
    }

    private void StoreDecayGradients(int member)
    {
        ReadOnlySpan<float> gradients = _decay[member].Finish();
        for (int keyTile = FirstKeyTile; keyTile <= Item.LastRowTile; keyTile++)
        {
            ReadOnlySpan<float> tile = gradients.Slice((keyTile - FirstKeyTile) * Tile.Size, Tile.Size);
            if (_halo.Holds(keyTile))
            {
                tile.CopyTo(new Span<float>(_halo.DecayGradients(keyTile, member), Tile.Size));
                continue;
            }

            for (int i = 0; i < KeysIn(keyTile); i++)
                *_operands.Dalpha.At(Item.Segment.Batch, Position((keyTile * Tile.Size) + i), Head(member)) += tile[i];
        }
    }

    private float* RowTile(int member, int rowTile) =>
        _rowTiles + ((((long)(rowTile - Item.FirstRowTile) * Group) + member) * RowTileFloats);
}
