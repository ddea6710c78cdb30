using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// The cache-blocked product (Goto and van de Geijn 2008): a slab of B is packed by all threads, then blocks of A are handed
/// out, packed by whoever takes them and multiplied with every panel of the slab.
/// </summary>
/// <remarks>An element of C is always the same sum in the same order, wherever blocks are cut and whoever computes them: only
/// the slabs of depth shape it.</remarks>
internal static unsafe class PackedProduct<TKernel>
    where TKernel : struct, IMicroKernel
{
    // Panels of B that one item packs: a run of columns long enough to read whole lines of a row-major B.
    private const int PanelsInPackingItem = 4;

    public static void Multiply(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        int slabDepth = Blocking.PieceExtent(a.Columns, Blocking.MaxDepth, 16);
        int slabColumns = Blocking.PieceExtent(b.Columns, Blocking.MaxColumns, TKernel.Columns);
        using CpuStorage slab = CpuMemory.Rent(PanelPacking.PanelFloats(slabColumns / TKernel.Columns, TKernel.Columns, slabDepth));
        for (int column = 0; column < b.Columns; column += slabColumns)
        {
            int columns = Math.Min(slabColumns, b.Columns - column);
            for (int k = 0; k < a.Columns; k += slabDepth)
            {
                int depth = Math.Min(slabDepth, a.Columns - k);
                StridedMatrix bSlab = b.Block(k, depth, column, columns);
                PackSlab(bSlab, slab.Floats);
                MultiplySlab(a.Block(0, a.Rows, k, depth), slab.Floats, columns, c + column, strideC, accumulate || k > 0);
            }
        }
    }

    private static void PackSlab(StridedMatrix b, float* slab)
    {
        int itemColumns = PanelsInPackingItem * TKernel.Columns;
        nint itemFloats = PanelPacking.PanelFloats(PanelsInPackingItem, TKernel.Columns, b.Rows);
        WorkerPool.Shared.For(Blocking.Pieces(b.Columns, itemColumns), item =>
        {
            int column = item * itemColumns;
            StridedMatrix part = b.Block(0, b.Rows, column, Math.Min(itemColumns, b.Columns - column));
            PanelPacking.Pack(part.Transposed, TKernel.Columns, slab + (item * itemFloats));
        });
    }

    private static void MultiplySlab(StridedMatrix a, float* slab, int columns, float* c, nint strideC, bool accumulate)
    {
        int rowPanels = Blocking.Pieces(a.Rows, TKernel.Rows), columnPanels = Blocking.Pieces(columns, TKernel.Columns);
        (int rowBlocks, int columnParts) = Blocking.Items(rowPanels, columnPanels, TKernel.Rows);
        WorkerPool.Shared.For(rowBlocks * columnParts, item =>
        {
            int block = item / columnParts, part = item % columnParts;
            int firstRow = Share(rowPanels, rowBlocks, block) * TKernel.Rows, endRow = Math.Min(a.Rows, Share(rowPanels, rowBlocks, block + 1) * TKernel.Rows);
            int firstColumn = Share(columnPanels, columnParts, part) * TKernel.Columns, endColumn = Math.Min(columns, Share(columnPanels, columnParts, part + 1) * TKernel.Columns);
            MultiplyBlock(
                a.Block(firstRow, endRow - firstRow, 0, a.Columns),
                slab + PanelPacking.PanelFloats(firstColumn / TKernel.Columns, TKernel.Columns, a.Columns),
                endColumn - firstColumn,
                c + (firstRow * strideC) + firstColumn,
                strideC,
                accumulate);
        });
    }

    /// <summary>Where piece <paramref name="piece"/> begins when <paramref name="extent"/> is dealt out evenly.</summary>
    private static int Share(int extent, int pieces, int piece) => (int)((long)extent * piece / pieces);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyBlock(StridedMatrix a, float* bPanels, int columns, float* c, nint strideC, bool accumulate)
    {
        int depth = a.Columns;
        nint aStride = PanelPacking.PanelStride(TKernel.Rows, depth), bStride = PanelPacking.PanelStride(TKernel.Columns, depth);
        using CpuStorage packed = CpuMemory.Rent(PanelPacking.PanelFloats(Blocking.Pieces(a.Rows, TKernel.Rows), TKernel.Rows, depth));
        PanelPacking.Pack(a, TKernel.Rows, packed.Floats);
        float* edge = stackalloc float[TKernel.Rows * TKernel.Columns];
        for (int column = 0; column < columns; column += TKernel.Columns, bPanels += bStride)
        {
            float* aPanel = packed.Floats;
            for (int row = 0; row < a.Rows; row += TKernel.Rows, aPanel += aStride)
            {
                float* tile = c + (row * strideC) + column;
                int tileRows = Math.Min(TKernel.Rows, a.Rows - row), tileColumns = Math.Min(TKernel.Columns, columns - column);
                if (tileRows == TKernel.Rows && tileColumns == TKernel.Columns)
                {
                    TKernel.Multiply(depth, aPanel, bPanels, tile, strideC, accumulate);
                }
                else
                {
                    TKernel.Multiply(depth, aPanel, bPanels, edge, TKernel.Columns, accumulate: false);
                    CopyEdge(edge, tile, strideC, tileRows, tileColumns, accumulate);
                }
            }
        }
    }

    private static void CopyEdge(float* edge, float* tile, nint strideC, int rows, int columns, bool accumulate)
    {
        for (int row = 0; row < rows; row++, edge += TKernel.Columns, tile += strideC)
        {
            for (int column = 0; column < columns; column++) tile[column] = accumulate ? tile[column] + edge[column] : edge[column];
        }
    }
}
