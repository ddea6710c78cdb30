using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The backward pass. Probabilities are computed anew from lse; then five products a tile. A range of queries adds to the gradients
/// of its queries and of the keys that it meets.
/// </summary>
/// <remarks>
/// In waves: in wave p a range meets the keys that first came into sight p ranges before it. No two ranges of a wave share a query or
/// a key, and the waves follow each other, so every gradient is added up in one order and by one thread at a time, without copies.
/// </remarks>
internal sealed unsafe class SparseBackwardCpu<V, S> : SparseTileWalk<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly SparseOperands _operands;
    private readonly SparseGradients _gradients;
    private float* _queries, _outputGradients, _queryGradients, _keys, _keysTransposed, _valuesTransposed, _keyGradients, _valueGradients;
    private float* _p, _scoreGradients, _lseLog2, _delta, _rowSums, _keySums;

    private SparseBackwardCpu(
        NativeSparseProblem problem, SparsePattern pattern, SparseOperands operands, SparseGradients gradients, QueryRange range)
        : base(problem, pattern, range) => (_operands, _gradients) = (operands, gradients);

    public static void Run(NativeSparseProblem problem, SparsePattern pattern, SparseOperands operands, SparseGradients gradients)
    {
        QueryRange[] ranges = QueryRange.Cut(problem);
        int waves = ranges.Select(range => range.Number + 1).DefaultIfEmpty().Max();
        for (int wave = 0; wave < waves; wave++)
        {
            int[] taking = [.. Enumerable.Range(0, ranges.Length).Where(i => ranges[i].Number >= wave)];
            WorkerPool.Shared.For(taking.Length, i =>
            {
                QueryRange range = ranges[taking[i]], met = ranges[taking[i] - wave];
                int first = met.Number == 0 ? 0 : pattern.TilesBefore(met.Blocks, met.First);
                int end = pattern.TilesBefore(met.Blocks, met.End);
                if (first < end) new SparseBackwardCpu<V, S>(problem, pattern, operands, gradients, range).Run(first, end);
            });
        }
    }

    private void Run(int firstTile, int endTile)
    {
        using CpuStorage scratch = CpuMemory.Rent(
            (8L * TileFloats) + (Tile.Size * ((2 * Tile.Size) + S.Width + 3)) + (2 * Tile.BlockLanes));
        _queries = scratch.Floats;
        _outputGradients = _queries + TileFloats;
        _queryGradients = _outputGradients + TileFloats;
        _keys = _queryGradients + TileFloats;
        _keysTransposed = _keys + TileFloats;
        _valuesTransposed = _keysTransposed + TileFloats;
        _keyGradients = _valuesTransposed + TileFloats;
        _valueGradients = _keyGradients + TileFloats;
        _p = _valueGradients + TileFloats;
        _scoreGradients = _p + (Tile.Size * Tile.Size);
        _rowSums = _scoreGradients + (Tile.Size * Tile.Size);
        _keySums = _rowSums + (Tile.Size * S.Width);
        _lseLog2 = _keySums + Tile.Size;
        _delta = _lseLog2 + Tile.Size;
        Mask = _delta + Tile.Size;
        new Span<float>(_queries, 2 * TileFloats).Clear();
        // A row that is not there has no probability.
        new Span<float>(_lseLog2, Tile.Size).Fill(float.PositiveInfinity);
        new Span<float>(_delta, Tile.Size).Clear();
        Walk(firstTile, endTile);
    }

    protected override void BeginKeys(in KeyTile keys)
    {
        int batch = Range.Blocks.Segment.Batch;
        (HeadRows k, HeadRows v) = (_operands.K, _operands.V);
        // The values are needed transposed only; the gradients' room serves on the way.
        TilePacking<V, S>.Pack(v.At(batch, keys.Position, Range.KeyHead), v.RowStride, keys.Count, HeadSize, 1, _valueGradients);
        TilePacking<V, S>.Transpose(_valueGradients, HeadSize, _valuesTransposed);
        TilePacking<V, S>.Pack(k.At(batch, keys.Position, Range.KeyHead), k.RowStride, keys.Count, HeadSize, 1, _keys);
        TilePacking<V, S>.Transpose(_keys, HeadSize, _keysTransposed);
        new Span<float>(_keyGradients, 2 * TileFloats).Clear();
    }

    /// <remarks>Product by product, not row by row: each keeps one operand of a tile in the first-level cache.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Meet(in KeyTile keys)
    {
        LoadRows();
        // What a row does not see weighs nothing in the products that run down the columns.
        if (!SeesAll(keys.Count)) new Span<float>(_p, 2 * Tile.Size * Tile.Size).Clear();
        new Span<float>(_rowSums, Tile.Size * (S.Width + 1)).Clear();
        int count = Rows.Length, most = MostVisible;
        for (int panel = 0; panel < most; panel += Panel)
        {
            for (int row = 0; row < count; row += Tile.BlockRows) ComputeProbabilities(row, Math.Min(Tile.BlockRows, count - row), panel);
            for (int row = 0; row < count; row += Tile.BlockRows) ComputeScoreGradients(row, Math.Min(Tile.BlockRows, count - row), panel);
        }

        // dv = Pᵀ dO, dk = dSᵀ q, dq = dS k; the scale follows when they leave.
        AddKeyGradients(_p, _outputGradients, _valueGradients, most, count);
        AddKeyGradients(_scoreGradients, _queries, _keyGradients, most, count);
        if (_gradients.Dq == null) return;
        new Span<float>(_queryGradients, TileFloats).Clear();
        for (int row = 0; row < count; row += Tile.BlockRows) AddQueryGradients(row, Math.Min(Tile.BlockRows, count - row), most);
        StoreRows();
    }

    protected override void EndKeys(in KeyTile keys)
    {
        // q was packed as q · scale · log2 e, and dk wants q · scale.
        const float keyFactor = (float)Units.Ln2;
        (HeadRows dk, HeadRows dv) = (_gradients.Dk, _gradients.Dv);
        float* dkRows = dk.At(Range.Blocks.Segment.Batch, keys.Position, Range.KeyHead);
        float* dvRows = dv.At(Range.Blocks.Segment.Batch, keys.Position, Range.KeyHead);
        if (!dk.IsMissing) TilePacking<V, S>.UnpackAdd(_keyGradients, keys.Count, HeadSize, keyFactor, dkRows, dk.RowStride);
        if (!dv.IsMissing) TilePacking<V, S>.UnpackAdd(_valueGradients, keys.Count, HeadSize, 1, dvRows, dv.RowStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ComputeProbabilities(int row, int rows, int panel)
    {
        int keys = Keys(row, rows, panel);
        if (keys <= 0) return;
        int vectors = (keys + S.Width - 1) / S.Width;
        var kernel = new Probabilities<V, S>
        {
            Scores = Scores(_queries + (row * PaddedSize), row, _keysTransposed, panel, vectors),
            LseLog2 = _lseLog2 + row,
            P = _p + (row * Tile.Size) + panel,
        };
        TileKernel.Run(ref kernel, rows, vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ComputeScoreGradients(int row, int rows, int panel)
    {
        int keys = Keys(row, rows, panel);
        if (keys <= 0) return;
        var kernel = new ScoreGradients<V, S>
        {
            HeadSize = HeadSize,
            OutputGradients = _outputGradients + (row * PaddedSize),
            RowStride = PaddedSize,
            ValuesTransposed = _valuesTransposed + panel,
            Delta = _delta + row,
            P = _p + (row * Tile.Size) + panel,
            Gradients = _scoreGradients + (row * Tile.Size) + panel,
            RowSums = _rowSums + (row * S.Width),
            KeySums = _keySums + panel,
        };
        TileKernel.Run(ref kernel, rows, (keys + S.Width - 1) / S.Width);
    }

    /// <summary>gradients += weightsᵀ · rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddKeyGradients(float* weights, float* rows, float* gradients, int keys, int count)
    {
        for (int key = 0; key < keys; key += Tile.BlockRows)
        {
            new AddProduct<V, S>
            {
                Depth = count,
                A = weights + key,
                RowStride = 1,
                Step = Tile.Size,
                B = rows,
                C = gradients + (key * PaddedSize),
                Columns = PaddedSize,
            }.Run(Math.Min(Tile.BlockRows, Tile.Size - key));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddQueryGradients(int row, int rows, int keys)
    {
        new AddProduct<V, S>
        {
            Depth = keys,
            A = _scoreGradients + (row * Tile.Size),
            RowStride = Tile.Size,
            Step = 1,
            B = _keys,
            C = _queryGradients + (row * PaddedSize),
            Columns = PaddedSize,
        }.Run(rows);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadRows()
    {
        ReadOnlySpan<long> heads = Heads;
        float factor = (float)(Problem.Scale * Units.Log2E);
        for (int i = 0; i < heads.Length; i++)
        {
            long head = heads[i];
            TilePacking<V, S>.PackRow(_operands.Q + (head * HeadSize), HeadSize, factor, _queries + (i * PaddedSize));
            TilePacking<V, S>.PackRow(_gradients.OutputGradient + (head * HeadSize), HeadSize, 1, _outputGradients + (i * PaddedSize));
            _lseLog2[i] = _gradients.LseLog2[head];
            _delta[i] = _gradients.Delta[head];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void StoreRows()
    {
        ReadOnlySpan<long> heads = Heads;
        for (int i = 0; i < heads.Length; i++)
        {
            float* dq = _gradients.Dq + (heads[i] * HeadSize);
            TilePacking<V, S>.UnpackAdd(_queryGradients + (i * PaddedSize), 1, HeadSize, Problem.Scale, dq, stride: 0);
        }
    }
}
