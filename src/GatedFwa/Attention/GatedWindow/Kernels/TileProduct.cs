using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>C = rescale ∘ C + A·B for a block of rows and any number of columns: picks the micro-kernels.</summary>
internal static unsafe class TileProduct<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>Vectors that a micro-kernel holds of one row: AVX-512 has twice the registers of the others.</summary>
    public static int MaxVectors => S.Width == 16 ? 4 : 2;

    /// <param name="rows">Rows of the block: at most 4 are computed as 4, otherwise 6.</param>
    /// <param name="depth">Terms of each sum.</param>
    /// <param name="a">A: element (r, k) at r · rowStride + k · step.</param>
    /// <param name="rowStride">Floats between rows of A.</param>
    /// <param name="step">Floats between columns of A.</param>
    /// <param name="b">B [depth, columns], contiguous; C [rows, columns] too.</param>
    /// <param name="c">Updated.</param>
    /// <param name="columns">A whole number of vectors.</param>
    /// <param name="rescale">A factor for each row of C, or null.</param>
    public static void Add(int rows, int depth, float* a, nint rowStride, nint step, float* b, float* c, int columns, float* rescale = null)
    {
        if (rows > Tile.LastBlockRows) Add<Six>(depth, a, rowStride, step, b, c, columns, rescale);
        else Add<Four>(depth, a, rowStride, step, b, c, columns, rescale);
    }

    private static void Add<R>(int depth, float* a, nint rowStride, nint step, float* b, float* c, int columns, float* rescale)
        where R : struct, ICount
    {
        int vectors = columns / S.Width;
        while (vectors > 0)
        {
            // Evenly: five vectors are 3 + 2, because 4 + 1 would leave a kernel of few accumulators.
            int pieces = (vectors + MaxVectors - 1) / MaxVectors, now = (vectors + pieces - 1) / pieces;
            switch (now)
            {
                case 4:
                    Product<V, S, R, Four>.Add(depth, a, rowStride, step, b, columns, c, columns, rescale);
                    break;
                case 3:
                    Product<V, S, R, Three>.Add(depth, a, rowStride, step, b, columns, c, columns, rescale);
                    break;
                case 2:
                    Product<V, S, R, Two>.Add(depth, a, rowStride, step, b, columns, c, columns, rescale);
                    break;
                default:
                    Product<V, S, R, One>.Add(depth, a, rowStride, step, b, columns, c, columns, rescale);
                    break;
            }

            b += now * S.Width;
            c += now * S.Width;
            vectors -= now;
        }
    }
}
