using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GatedFwa.Tensors.Cpu;

/// <summary>Transposes a block of 16 columns and 12 or 16 rows in the registers of AVX-512.</summary>
internal static unsafe class Transpose16
{
    /// <summary>16 × 16: <c>destination[k · stride + row] = source[row · sourceStride + k]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows16(float* source, nint sourceStride, float* destination, nint stride)
    {
        float* upper = source + (4 * sourceStride), third = source + (8 * sourceStride), lowest = source + (12 * sourceStride);
        Quad(source, sourceStride, out Vector512<float> a0, out Vector512<float> a1, out Vector512<float> a2, out Vector512<float> a3);
        Quad(upper, sourceStride, out Vector512<float> b0, out Vector512<float> b1, out Vector512<float> b2, out Vector512<float> b3);
        Quad(third, sourceStride, out Vector512<float> c0, out Vector512<float> c1, out Vector512<float> c2, out Vector512<float> c3);
        Quad(lowest, sourceStride, out Vector512<float> d0, out Vector512<float> d1, out Vector512<float> d2, out Vector512<float> d3);
        Scatter16(a0, b0, c0, d0, destination, stride);
        Scatter16(a1, b1, c1, d1, destination + stride, stride);
        Scatter16(a2, b2, c2, d2, destination + (2 * stride), stride);
        Scatter16(a3, b3, c3, d3, destination + (3 * stride), stride);
    }

    /// <summary>12 rows of 16: <c>destination[k · 12 + row] = source[row · sourceStride + k]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows12(float* source, nint sourceStride, float* destination)
    {
        Quad(source, sourceStride, out Vector512<float> a0, out Vector512<float> a1, out Vector512<float> a2, out Vector512<float> a3);
        Quad(source + (4 * sourceStride), sourceStride, out Vector512<float> b0, out Vector512<float> b1, out Vector512<float> b2, out Vector512<float> b3);
        Quad(source + (8 * sourceStride), sourceStride, out Vector512<float> c0, out Vector512<float> c1, out Vector512<float> c2, out Vector512<float> c3);
        Scatter12(a0, b0, c0, destination);
        Scatter12(a1, b1, c1, destination + 12);
        Scatter12(a2, b2, c2, destination + 24);
        Scatter12(a3, b3, c3, destination + 36);
    }

    /// <summary>Four rows, transposed 4 × 4 in each 128-bit lane: lane q of result r holds column 4q + r of the four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quad(float* source, nint stride, out Vector512<float> r0, out Vector512<float> r1, out Vector512<float> r2, out Vector512<float> r3)
    {
        Vector512<float> row0 = Vector512.Load(source), row1 = Vector512.Load(source + stride);
        Vector512<float> row2 = Vector512.Load(source + (2 * stride)), row3 = Vector512.Load(source + (3 * stride));
        Vector512<double> low01 = Avx512F.UnpackLow(row0, row1).AsDouble(), high01 = Avx512F.UnpackHigh(row0, row1).AsDouble();
        Vector512<double> low23 = Avx512F.UnpackLow(row2, row3).AsDouble(), high23 = Avx512F.UnpackHigh(row2, row3).AsDouble();
        r0 = Avx512F.UnpackLow(low01, low23).AsSingle();
        r1 = Avx512F.UnpackHigh(low01, low23).AsSingle();
        r2 = Avx512F.UnpackLow(high01, high23).AsSingle();
        r3 = Avx512F.UnpackHigh(high01, high23).AsSingle();
    }

    /// <summary>Lane q of the four operands is column 4q: gathers the lanes of each column and writes every fourth column.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scatter16(
        Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d, float* destination, nint stride)
    {
        Vector512<float> abEven = Avx512F.Shuffle4x128(a, b, 0x88), abOdd = Avx512F.Shuffle4x128(a, b, 0xDD);
        Vector512<float> cdEven = Avx512F.Shuffle4x128(c, d, 0x88), cdOdd = Avx512F.Shuffle4x128(c, d, 0xDD);
        Avx512F.Shuffle4x128(abEven, cdEven, 0x88).Store(destination);
        Avx512F.Shuffle4x128(abOdd, cdOdd, 0x88).Store(destination + (4 * stride));
        Avx512F.Shuffle4x128(abEven, cdEven, 0xDD).Store(destination + (8 * stride));
        Avx512F.Shuffle4x128(abOdd, cdOdd, 0xDD).Store(destination + (12 * stride));
    }

    /// <summary>
    /// As <see cref="Scatter16"/> for three operands and 12 floats a column; lanes are stored one by one, so nothing is written
    /// past a column.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scatter12(Vector512<float> a, Vector512<float> b, Vector512<float> c, float* destination)
    {
        const int Column = 4 * 12;
        Lanes(a, destination);
        Lanes(b, destination + 4);
        Lanes(c, destination + 8);

        static void Lanes(Vector512<float> v, float* destination)
        {
            v.GetLower().GetLower().Store(destination);
            Avx512F.ExtractVector128(v, 1).Store(destination + Column);
            Avx512F.ExtractVector128(v, 2).Store(destination + (2 * Column));
            Avx512F.ExtractVector128(v, 3).Store(destination + (3 * Column));
        }
    }
}
