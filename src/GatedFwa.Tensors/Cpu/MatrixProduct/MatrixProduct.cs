using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace GatedFwa.Tensors.Cpu;

/// <summary>C (+)= A · B in single precision for matrices of any strides: the door of the matrix engine.</summary>
internal static unsafe class MatrixProduct
{
    // Up to so many rows of A packing B costs more than it gains (docs/log.md): dot products where the columns of B are
    // contiguous, updates of C where its rows are.
    private const int MaxDotRows = 48, MaxUpdateRows = 8;

    /// <summary>Multiplies; the same bits for any number of threads.</summary>
    /// <param name="a">[M, K].</param>
    /// <param name="b">[K, N].</param>
    /// <param name="c">[M, N], rows contiguous.</param>
    /// <param name="strideC">Floats from a row of C to the next.</param>
    /// <param name="accumulate">Add to C; otherwise it is not read.</param>
    public static void Multiply(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate = false)
    {
        if (a.Rows == 0 || b.Columns == 0) return;
        if (a.Columns == 0)
        {
            if (!accumulate) Clear(c, strideC, a.Rows, b.Columns);
            return;
        }

        bool readsInPlace = (b.RowStride == 1 && a.Rows <= MaxDotRows) || (b.ColumnStride == 1 && a.Rows <= MaxUpdateRows);
        if (readsInPlace) Skinny(a, b, c, strideC, accumulate);
        else Packed(a, b, c, strideC, accumulate);
    }

    /// <summary>The path that reads B in place; its rows or its columns must be contiguous.</summary>
    internal static void Skinny(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        switch (Simd.Width)
        {
            case 16:
                SkinnyProduct<Vector512<float>, Simd512>.Multiply(a, b, c, strideC, accumulate);
                break;
            case 8:
                SkinnyProduct<Vector256<float>, Simd256>.Multiply(a, b, c, strideC, accumulate);
                break;
            default:
                SkinnyProduct<Vector128<float>, Simd128>.Multiply(a, b, c, strideC, accumulate);
                break;
        }
    }

    /// <summary>The path through packed panels, for any shape (its speed needs some rows).</summary>
    internal static void Packed(StridedMatrix a, StridedMatrix b, float* c, nint strideC, bool accumulate)
    {
        switch (Simd.Width)
        {
            case 16:
                PackedProduct<MicroKernel12x2<Vector512<float>, Simd512>>.Multiply(a, b, c, strideC, accumulate);
                break;
            case 8:
                PackedProduct<MicroKernel6x2<Vector256<float>, Simd256>>.Multiply(a, b, c, strideC, accumulate);
                break;
            default:
                PackedProduct<MicroKernel6x2<Vector128<float>, Simd128>>.Multiply(a, b, c, strideC, accumulate);
                break;
        }
    }

    private static void Clear(float* c, nint strideC, int rows, int columns)
    {
        for (int row = 0; row < rows; row++) NativeMemory.Clear(c + (row * strideC), (nuint)columns * sizeof(float));
    }
}
