using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// The cache-blocked product (Goto and van de Geijn 2008). Of the two operands the smaller is packed into a slab that all
/// threads share; blocks of the other are handed out, packed by whoever takes them and multiplied with the slab.
/// </summary>
/// <remarks>An element of C is always the same sum in the same order, wherever blocks are cut and whoever computes them: only
/// the slabs of depth shape it.</remarks>
internal static unsafe class PackedProduct<TKernel>
    where TKernel : struct, IMicroKernel
{
    public static void Multiply(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        // Both seen as [panel rows, depth]. A slab costs more to pack than a block, which never leaves its core's caches.
        bool sharesA = a.Rows < b.Columns;
        (StridedMatrix shared, StridedMatrix other) = sharesA ? (a, b.Transposed) : (b.Transposed, a);
        int width = sharesA ? TKernel.Rows : TKernel.Columns;
        int slabDepth = Blocking.PieceExtent(a.Columns, Blocking.MaxDepth, 16);
        int slabRows = Blocking.PieceExtent(shared.Rows, Blocking.MaxShared, width);
        using CpuStorage slab = CpuMemory.Rent(PanelPacking.PanelFloats(slabRows / width, width, slabDepth));
        for (int row = 0; row < shared.Rows; row += slabRows)
        {
            int rows = Math.Min(slabRows, shared.Rows - row);
            float* target = sharesA ? c + (row * strideC) : c + row;
            for (int k = 0; k < a.Columns; k += slabDepth)
            {
                int depth = Math.Min(slabDepth, a.Columns - k);
                PackSlab(shared.Block(row, rows, k, depth), width, slab.Floats);
                MultiplySlab(slab.Floats, rows, other.Block(0, other.Rows, k, depth), sharesA, target, strideC, accumulate || k > 0);
            }
        }
    }

    private static void PackSlab(StridedMatrix source, int width, float* slab) =>
        WorkerPool.Shared.For(Blocking.Pieces(source.Rows, Blocking.BlockExtent), item =>
        {
            int row = item * Blocking.BlockExtent;
            StridedMatrix rows = source.Block(row, Math.Min(Blocking.BlockExtent, source.Rows - row), 0, source.Columns);
            PanelPacking.Pack(rows, width, slab + PanelPacking.PanelFloats(row / width, width, source.Columns));
        });

    private static void MultiplySlab(float* slab, int slabRows, StridedMatrix other, bool sharesA, float* c, nint strideC, bool accumulate)
    {
        int depth = other.Columns, width = sharesA ? TKernel.Columns : TKernel.Rows, slabWidth = sharesA ? TKernel.Rows : TKernel.Columns;
        int extent = Blocking.PieceExtent(other.Rows, Blocking.BlockExtent, width);
        var items = new WorkItems(Blocking.Pieces(other.Rows, extent), Blocking.Pieces(slabRows, slabWidth), slabWidth);
        WorkerPool.Shared.For(items.Count, item =>
        {
            (int block, int firstPanel, int endPanel) = items[item];
            int first = block * extent, rows = Math.Min(extent, other.Rows - first);
            using CpuStorage packed = CpuMemory.Rent(PanelPacking.PanelFloats(Blocking.Pieces(rows, width), width, depth));
            PanelPacking.Pack(other.Block(first, rows, 0, depth), width, packed.Floats);

            float* part = slab + PanelPacking.PanelFloats(firstPanel, slabWidth, depth);
            int firstShared = firstPanel * slabWidth, sharedRows = Math.Min(slabRows, endPanel * slabWidth) - firstShared;
            float* target = sharesA ? c + (firstShared * strideC) + first : c + (first * strideC) + firstShared;
            if (sharesA) MultiplyTile(part, packed.Floats, depth, sharedRows, rows, target, strideC, accumulate, rowsOutside: true);
            else MultiplyTile(packed.Floats, part, depth, rows, sharedRows, target, strideC, accumulate, rowsOutside: false);
        });
    }

    /// <summary>C[rows, columns] (+)= A · B from panels; the shared slab's are outside, so that each is fetched once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyTile(
        float* aPanels, float* bPanels, int depth, int rows, int columns, float* c, nint strideC, bool accumulate, bool rowsOutside)
    {
        nint aStride = PanelPacking.PanelStride(TKernel.Rows, depth), bStride = PanelPacking.PanelStride(TKernel.Columns, depth);
        int down = Blocking.Pieces(rows, TKernel.Rows), across = Blocking.Pieces(columns, TKernel.Columns);
        int inner = rowsOutside ? across : down;
        float* edge = stackalloc float[TKernel.Rows * TKernel.Columns];
        for (int step = 0; step < down * across; step++)
        {
            (int i, int j) = rowsOutside ? (step / inner, step % inner) : (step % inner, step / inner);
            float* aPanel = aPanels + (i * aStride), bPanel = bPanels + (j * bStride);
            int row = i * TKernel.Rows, column = j * TKernel.Columns;
            float* target = c + (row * strideC) + column;
            if (row + TKernel.Rows <= rows && column + TKernel.Columns <= columns)
            {
                TKernel.Multiply(depth, aPanel, bPanel, target, strideC, accumulate);
            }
            else
            {
                TKernel.Multiply(depth, aPanel, bPanel, edge, TKernel.Columns, accumulate: false);
                CopyEdge(
                    edge, target, strideC, Math.Min(TKernel.Rows, rows - row), Math.Min(TKernel.Columns, columns - column), accumulate);
            }
        }
    }

    private static void CopyEdge(float* edge, float* target, nint strideC, int rows, int columns, bool accumulate)
    {
        for (int row = 0; row < rows; row++, edge += TKernel.Columns, target += strideC)
        {
            for (int column = 0; column < columns; column++) target[column] = accumulate ? target[column] + edge[column] : edge[column];
        }
    }
}
