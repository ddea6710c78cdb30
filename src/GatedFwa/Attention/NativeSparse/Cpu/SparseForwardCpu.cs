using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>The forward pass of a range: every query keeps an online softmax open while the keys that it sees come by.</summary>
internal sealed unsafe class SparseForwardCpu<V, S> : SparseTileWalk<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly SparseOperands _operands;
    // What each query keeps: q, o, and the softmax's sum (a vector) and maximum. Of the gathered rows the same, in blocks.
    private float* _queries, _outputs, _sums, _max;
    private float* _tileQueries, _tileOutputs, _tileSums, _tileMax, _rescale, _p, _keys, _keysTransposed, _values;

    private SparseForwardCpu(NativeSparseProblem problem, SparsePattern pattern, SparseOperands operands, QueryRange range)
        : base(problem, pattern, range) => _operands = operands;

    private int RowCount => (Range.End - Range.First) * Group;

    public static void Run(NativeSparseProblem problem, SparsePattern pattern, SparseOperands operands)
    {
        QueryRange[] ranges = QueryRange.Cut(problem);
        // The last see most: they go first, so that no thread is left alone with them.
        WorkerPool.Shared.For(ranges.Length, i =>
        {
            QueryRange range = ranges[^(i + 1)];
            new SparseForwardCpu<V, S>(problem, pattern, operands, range).Run(pattern.TilesBefore(range.Blocks, range.End));
        });
    }

    private void Run(int tiles)
    {
        using CpuStorage state = CpuMemory.Rent((long)RowCount * ((2 * PaddedSize) + S.Width + 1));
        using CpuStorage scratch = CpuMemory.Rent(
            (5L * TileFloats) + (Tile.Size * (Tile.Size + S.Width)) + (2 * Tile.BlockLanes * (Tile.MaxBlocks + 1)));
        _queries = state.Floats;
        _outputs = _queries + ((long)RowCount * PaddedSize);
        _sums = _outputs + ((long)RowCount * PaddedSize);
        _max = _sums + ((long)RowCount * S.Width);
        _tileQueries = scratch.Floats;
        _tileOutputs = _tileQueries + TileFloats;
        _keys = _tileOutputs + TileFloats;
        _keysTransposed = _keys + TileFloats;
        _values = _keysTransposed + TileFloats;
        _p = _values + TileFloats;
        _tileSums = _p + (Tile.Size * Tile.Size);
        _tileMax = _tileSums + (Tile.Size * S.Width);
        _rescale = _tileMax + (Tile.MaxBlocks * Tile.BlockLanes);
        Mask = _rescale + (Tile.MaxBlocks * Tile.BlockLanes);
        Begin();
        Walk(0, tiles);
        End();
    }

    protected override void BeginKeys(in KeyTile keys)
    {
        int batch = Range.Blocks.Segment.Batch;
        (HeadRows k, HeadRows v) = (_operands.K, _operands.V);
        TilePacking<V, S>.Pack(k.At(batch, keys.Position, Range.KeyHead), k.RowStride, keys.Count, HeadSize, 1, _keys);
        TilePacking<V, S>.Transpose(_keys, HeadSize, _keysTransposed);
        TilePacking<V, S>.Pack(v.At(batch, keys.Position, Range.KeyHead), v.RowStride, keys.Count, HeadSize, 1, _values);
    }

    /// <remarks>Scores of all rows first, products with the values afterwards: each half keeps one packed tile in the first-level
    /// cache, and no row waits for its own softmax.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Meet(in KeyTile keys)
    {
        LoadRows();
        int count = Rows.Length, most = MostVisible;
        for (int panel = 0; panel < most; panel += Panel)
        {
            for (int row = 0; row < count; row += Tile.BlockRows) Attend(row, Math.Min(Tile.BlockRows, count - row), panel);
            for (int row = 0; row < count; row += Tile.BlockRows) AddValues(row, Math.Min(Tile.BlockRows, count - row), panel);
        }

        StoreRows();
    }

    protected override void EndKeys(in KeyTile keys)
    {
    }

    /// <summary>Packs the queries; nothing is seen yet.</summary>
    private void Begin()
    {
        float factor = (float)(Problem.Scale * Units.Log2E);
        for (int row = 0; row < RowCount; row++)
        {
            (int token, int member) = Math.DivRem(row, Group);
            float* q = _operands.Q + (HeadIndex(Range.First + token, member) * HeadSize);
            TilePacking<V, S>.PackRow(q, HeadSize, factor, _queries + ((long)row * PaddedSize));
        }

        new Span<float>(_outputs, RowCount * PaddedSize).Clear();
        new Span<float>(_sums, RowCount * S.Width).Clear();
        new Span<float>(_max, RowCount).Fill(OnlineSoftmax.NothingSeen);
        new Span<float>(_tileQueries, 2 * TileFloats).Clear();
        new Span<float>(_tileMax, 2 * Tile.MaxBlocks * Tile.BlockLanes).Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void End()
    {
        for (int row = 0; row < RowCount; row++)
        {
            (int token, int member) = Math.DivRem(row, Group);
            float sum = S.Sum(S.Load(_sums + ((long)row * S.Width)));
            float* o = _operands.O + (HeadIndex(Range.First + token, member) * HeadSize);
            // A query that sees nothing: o = 0, lse = −∞.
            TilePacking<V, S>.Unpack(_outputs + ((long)row * PaddedSize), HeadSize, sum == 0 ? 0 : 1 / sum, o);
            _operands.Lse[LseIndex(Range.First + token, member)] =
                sum == 0 ? float.NegativeInfinity : (float)((_max[row] + Math.Log2(sum)) * Units.Ln2);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(int row, int rows, int panel)
    {
        int keys = Keys(row, rows, panel);
        if (keys <= 0) return;
        int vectors = (keys + S.Width - 1) / S.Width, lanes = row / Tile.BlockRows * Tile.BlockLanes;
        var kernel = new SoftmaxScores<V, S>
        {
            Scores = Scores(_tileQueries + (row * PaddedSize), row, _keysTransposed, panel, vectors),
            Max = _tileMax + lanes,
            Rescale = _rescale + lanes,
            Sums = _tileSums + (row * S.Width),
            P = _p + (row * Tile.Size) + panel,
        };
        TileKernel.Run(ref kernel, rows, vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddValues(int row, int rows, int panel)
    {
        int keys = Keys(row, rows, panel);
        if (keys <= 0) return;
        new AddProduct<V, S>
        {
            Depth = keys,
            A = _p + (row * Tile.Size) + panel,
            RowStride = Tile.Size,
            Step = 1,
            B = _values + (panel * PaddedSize),
            C = _tileOutputs + (row * PaddedSize),
            Columns = PaddedSize,
            Rescale = _rescale + (row / Tile.BlockRows * Tile.BlockLanes),
        }.Run(rows);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadRows()
    {
        ReadOnlySpan<int> rows = Rows;
        for (int i = 0; i < rows.Length; i++)
        {
            long row = rows[i];
            Copy(_queries + (row * PaddedSize), _tileQueries + (i * PaddedSize));
            Copy(_outputs + (row * PaddedSize), _tileOutputs + (i * PaddedSize));
            S.Store(S.Load(_sums + (row * S.Width)), _tileSums + (i * S.Width));
            _tileMax[Lane(i)] = _max[row];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void StoreRows()
    {
        ReadOnlySpan<int> rows = Rows;
        for (int i = 0; i < rows.Length; i++)
        {
            long row = rows[i];
            Copy(_tileOutputs + (i * PaddedSize), _outputs + (row * PaddedSize));
            S.Store(S.Load(_tileSums + (i * S.Width)), _sums + (row * S.Width));
            _max[row] = _tileMax[Lane(i)];
        }
    }

    private static int Lane(int row) => (row / Tile.BlockRows * Tile.BlockLanes) + (row % Tile.BlockRows);
}
