using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// The product for a few rows of A (decoding): bounded by reading B from memory, so B is read once and in place. Threads share
/// the columns.
/// </summary>
internal static unsafe class SkinnyProduct<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    // What one item reads of B: enough to be worth a hand-over, little enough to balance.
    private const int MinItemFloats = 16 * 1024, MaxItemFloats = 128 * 1024, WantedItems = 16;

    // Columns of a row-major B in an item: whole cache lines, and 8 rows of them fit the first-level cache.
    private const int ItemColumns = 256;

    public static void Multiply(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        if (a.ColumnStride == 1)
        {
            Share(a, b, c, strideC, accumulate);
            return;
        }

        using CpuStorage copy = CpuMemory.Rent((long)a.Rows * a.Columns);
        var dense = StridedMatrix.RowMajor(copy.Floats, a.Rows, a.Columns);
        for (int row = 0; row < a.Rows; row++)
        {
            for (int k = 0; k < a.Columns; k++) *dense.At(row, k) = *a.At(row, k);
        }

        Share(dense, b, c, strideC, accumulate);
    }

    private static void Share(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        bool byDots = b.RowStride == 1;
        int width = byDots ? DotColumns(b) : ItemColumns;
        WorkerPool.Shared.For(Blocking.Pieces(b.Columns, width), item =>
        {
            int column = item * width;
            StridedMatrix part = b.Block(0, b.Rows, column, Math.Min(width, b.Columns - column));
            if (byDots) DotProducts<V, S>.Multiply(a, part.Transposed, c + column, strideC, accumulate);
            else RowUpdates<V, S>.Multiply(a, part, c + column, strideC, accumulate);
        });
    }

    /// <summary>Whole groups of 4 columns: as many as give a wanted number of items, within what an item should read.</summary>
    private static int DotColumns(StridedMatrix b)
    {
        long floats = Math.Clamp((long)b.Rows * b.Columns / WantedItems, MinItemFloats, MaxItemFloats);
        return (int)Math.Max(4, floats / b.Rows / 4 * 4);
    }
}
