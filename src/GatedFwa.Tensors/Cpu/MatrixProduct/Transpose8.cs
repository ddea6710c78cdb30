using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GatedFwa.Tensors.Cpu;

/// <summary>Transposes a block of 8 columns and 6 or 8 rows in the registers of AVX.</summary>
internal static unsafe class Transpose8
{
    /// <summary>8 × 8: <c>destination[k · stride + row] = source[row · sourceStride + k]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows8(float* source, nint sourceStride, float* destination, nint stride)
    {
        Quad(source, sourceStride, out Vector256<float> a0, out Vector256<float> a1, out Vector256<float> a2, out Vector256<float> a3);
        Quad(source + (4 * sourceStride), sourceStride, out Vector256<float> b0, out Vector256<float> b1, out Vector256<float> b2, out Vector256<float> b3);
        Scatter(a0, b0, destination, stride);
        Scatter(a1, b1, destination + stride, stride);
        Scatter(a2, b2, destination + (2 * stride), stride);
        Scatter(a3, b3, destination + (3 * stride), stride);
    }

    /// <summary>6 rows of 8: <c>destination[k · 6 + row] = source[row · sourceStride + k]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows6(float* source, nint sourceStride, float* destination)
    {
        Quad(source, sourceStride, out Vector256<float> a0, out Vector256<float> a1, out Vector256<float> a2, out Vector256<float> a3);
        Column(a0, destination);
        Column(a1, destination + 6);
        Column(a2, destination + 12);
        Column(a3, destination + 18);

        Vector256<float> row4 = Vector256.Load(source + (4 * sourceStride)), row5 = Vector256.Load(source + (5 * sourceStride));
        Vector256<double> low = Avx.UnpackLow(row4, row5).AsDouble(), high = Avx.UnpackHigh(row4, row5).AsDouble();
        var pairs = (double*)(destination + 4);
        for (int lane = 0; lane < 2; lane++, pairs += 12)
        {
            pairs[0] = low.GetElement(2 * lane);
            pairs[3] = low.GetElement((2 * lane) + 1);
            pairs[6] = high.GetElement(2 * lane);
            pairs[9] = high.GetElement((2 * lane) + 1);
        }

        static void Column(Vector256<float> v, float* destination)
        {
            v.GetLower().Store(destination);
            v.GetUpper().Store(destination + (4 * 6));
        }
    }

    /// <summary>Four rows, transposed 4 × 4 in each 128-bit lane: lane q of result r holds column 4q + r of the four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quad(float* source, nint stride, out Vector256<float> r0, out Vector256<float> r1, out Vector256<float> r2, out Vector256<float> r3)
    {
        Vector256<float> row0 = Vector256.Load(source), row1 = Vector256.Load(source + stride);
        Vector256<float> row2 = Vector256.Load(source + (2 * stride)), row3 = Vector256.Load(source + (3 * stride));
        Vector256<double> low01 = Avx.UnpackLow(row0, row1).AsDouble(), high01 = Avx.UnpackHigh(row0, row1).AsDouble();
        Vector256<double> low23 = Avx.UnpackLow(row2, row3).AsDouble(), high23 = Avx.UnpackHigh(row2, row3).AsDouble();
        r0 = Avx.UnpackLow(low01, low23).AsSingle();
        r1 = Avx.UnpackHigh(low01, low23).AsSingle();
        r2 = Avx.UnpackLow(high01, high23).AsSingle();
        r3 = Avx.UnpackHigh(high01, high23).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scatter(Vector256<float> a, Vector256<float> b, float* destination, nint stride)
    {
        Avx.Permute2x128(a, b, 0x20).Store(destination);
        Avx.Permute2x128(a, b, 0x31).Store(destination + (4 * stride));
    }
}
