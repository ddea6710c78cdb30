using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>The forward pass of one work item: each tile of queries keeps an online softmax open while the keys stream past.</summary>
internal sealed unsafe class GatedWindowForwardCpu<V, S> : TileWalk<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly ForwardOperands _operands;
    private float* _rowTiles, _keys, _keysTransposed, _values, _p, _rescale;

    private GatedWindowForwardCpu(GatedWindowProblem problem, ForwardOperands operands, WorkItem item)
        : base(problem, item) => _operands = operands;

    // What a tile of queries keeps: q and o, then the softmax's maxima, a vector for each block of rows, and sums, one for each row.
    private int MaxOffset => 2 * TileFloats;

    private int SumsOffset => MaxOffset + (Tile.MaxBlocks * Tile.BlockLanes);

    private int RowTileFloats => SumsOffset + (Tile.Size * S.Width);

    public static void Run(GatedWindowProblem problem, ForwardOperands operands)
    {
        WorkItem[] items = WorkItem.ForForward(problem);
        // The last rows see most: they go first, so that no thread is left alone with them.
        WorkerPool.Shared.For(items.Length, i => new GatedWindowForwardCpu<V, S>(problem, operands, items[^(i + 1)]).Run());
    }

    private void Run()
    {
        using CpuStorage tiles = CpuMemory.Rent((3L * TileFloats) + (Tile.Size * Tile.Size) + (Tile.MaxBlocks * Tile.BlockLanes));
        using CpuStorage rowTiles = CpuMemory.Rent((long)RowTiles * Group * RowTileFloats);
        _rowTiles = rowTiles.Floats;
        _keys = tiles.Floats;
        _keysTransposed = _keys + TileFloats;
        _values = _keysTransposed + TileFloats;
        _p = _values + TileFloats;
        _rescale = _p + (Tile.Size * Tile.Size);
        new Span<float>(_rescale, Tile.MaxBlocks * Tile.BlockLanes).Clear();
        Walk(_operands.Alpha);
    }

    protected override void BeginKeys(int keyTile)
    {
        (int batch, int position, int count) = (Item.Segment.Batch, Position(keyTile * Tile.Size), KeysIn(keyTile));
        TilePacking<V, S>.Pack(_operands.K.At(batch, position, Item.KeyHead), _operands.K.RowStride, count, HeadSize, 1, _keys);
        TilePacking<V, S>.Transpose(_keys, HeadSize, _keysTransposed);
        TilePacking<V, S>.Pack(_operands.V.At(batch, position, Item.KeyHead), _operands.V.RowStride, count, HeadSize, 1, _values);
    }

    protected override void Enter(int member, int rowTile)
    {
        float* queries = RowTile(member, rowTile);
        (int first, int end) = Rows(rowTile);
        float* q = _operands.Q.At(Item.Segment.Batch, Query(first), Head(member));
        TilePacking<V, S>.Pack(q, _operands.Q.RowStride, end - first, HeadSize, (float)(Problem.Scale * Units.Log2E), queries);
        new Span<float>(queries + TileFloats, RowTileFloats - TileFloats).Clear();
        new Span<float>(queries + MaxOffset, Tile.MaxBlocks * Tile.BlockLanes).Fill(OnlineSoftmax.NothingSeen);
    }

    /// <remarks>Scores of all rows first, products with the values afterwards: each half keeps one packed tile in the first-level
    /// cache, and no row waits for its own softmax.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Meet(int member, int rowTile, int keyTile)
    {
        float* queries = RowTile(member, rowTile);
        (int first, int end) = Rows(rowTile);
        for (int panel = 0; panel < Tile.Size; panel += Panel)
        {
            for (int row = first; row < end; row += Tile.BlockRows)
                Attend(member, queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile, panel);
            for (int row = first; row < end; row += Tile.BlockRows)
                AddValues(queries, row, Math.Min(Tile.BlockRows, end - row), row - first, keyTile, panel);
        }
    }

    protected override void EndKeys(int keyTile)
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Leave(int member, int rowTile)
    {
        float* queries = RowTile(member, rowTile), outputs = queries + TileFloats, max = queries + MaxOffset, sums = queries + SumsOffset;
        (int first, int end) = Rows(rowTile);
        float* lse = _operands.Lse + LseOffset(member) + Query(first);
        for (int i = 0; i < end - first; i++)
        {
            float sum = S.Sum(S.Load(sums + (i * S.Width)));
            TilePacking<V, S>.Unpack(
                outputs + (i * PaddedSize),
                HeadSize,
                1 / sum,
                _operands.O.At(Item.Segment.Batch, Query(first + i), Head(member)));
            lse[i] = (float)((max[(i / Tile.BlockRows * Tile.BlockLanes) + (i % Tile.BlockRows)] + Math.Log2(sum)) * Units.Ln2);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(int member, float* queries, int row, int rows, int offset, int keyTile, int panel)
    {
        (int firstKey, int endKey) = Visible.Keys(row, rows, keyTile, panel, Panel);
        if (firstKey >= endKey) return;
        int key = firstKey / S.Width * S.Width, vectors = (endKey - key + S.Width - 1) / S.Width;
        int lanes = offset / Tile.BlockRows * Tile.BlockLanes;
        var kernel = new SoftmaxScores<V, S>
        {
            Scores = Scores(member, queries + (offset * PaddedSize), row, rows, _keysTransposed, keyTile, key, vectors),
            Max = queries + MaxOffset + lanes,
            Rescale = _rescale + lanes,
            Sums = queries + SumsOffset + (offset * S.Width),
            P = _p + (offset * Tile.Size) + key,
        };
        TileKernel.Run(ref kernel, rows, vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddValues(float* queries, int row, int rows, int offset, int keyTile, int panel)
    {
        (int firstKey, int endKey) = Visible.Keys(row, rows, keyTile, panel, Panel);
        if (firstKey >= endKey) return;
        new AddProduct<V, S>
        {
            Depth = endKey - firstKey,
            A = _p + (offset * Tile.Size) + firstKey,
            RowStride = Tile.Size,
            Step = 1,
            B = _values + (firstKey * PaddedSize),
            C = queries + TileFloats + (offset * PaddedSize),
            Columns = PaddedSize,
            Rescale = _rescale + (offset / Tile.BlockRows * Tile.BlockLanes),
        }.Run(rows);
    }

    private float* RowTile(int member, int rowTile) =>
        _rowTiles + ((((long)(rowTile - Item.FirstRowTile) * Group) + member) * RowTileFloats);
}
