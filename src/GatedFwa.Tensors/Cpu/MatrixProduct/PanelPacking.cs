using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// Copies a block of a matrix into panels, the order in which a micro-kernel reads: step by step along the depth, the panel's
/// rows side by side. Rows that a last panel lacks are zeros.
/// </summary>
internal static unsafe class PanelPacking
{
    // Panels of a power-of-two size would all begin in the same cache set.
    private const int PaddingFloats = 16;

    /// <summary>Floats from one panel to the next.</summary>
    public static nint PanelStride(int width, int depth) => ((nint)width * depth) + PaddingFloats;

    public static nint PanelFloats(int panels, int width, int depth) => panels * PanelStride(width, depth);

    /// <summary>Packs <paramref name="source"/> [rows, depth], <paramref name="width"/> rows a panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(StridedMatrix source, int width, float* panels)
    {
        int depth = source.Columns, full = source.Rows / width, rest = source.Rows % width;
        nint panelStride = PanelStride(width, depth);
        if (source.ColumnStride == 1)
        {
            for (int panel = 0; panel < full; panel++)
                PackByTransposing(source.At((nint)panel * width, 0), source.RowStride, depth, width, panels + (panel * panelStride));
        }
        else if (source.RowStride == 1)
        {
            if (width == 12) CopySteps12(source, full, panels);
            else CopySteps(source, full, width, panels);
        }
        else
        {
            for (int panel = 0; panel < full; panel++)
                PackElements(source.Block(panel * width, width, 0, depth), width, panels + (panel * panelStride));
        }

        if (rest > 0) PackElements(source.Block(full * width, rest, 0, depth), width, panels + (full * panelStride));
    }

    /// <summary>A full panel whose rows are contiguous along the depth.</summary>
    private static void PackByTransposing(float* source, nint stride, int depth, int width, float* panel)
    {
        int k = 0;
        if (Simd.Width == 16 && width == 12)
        {
            for (; k + 16 <= depth; k += 16) Transpose16.Rows12(source + k, stride, panel + (k * 12));
        }
        else if (Simd.Width == 16)
        {
            // 16 rows at a time, each a stream of memory: with 32 the prefetcher loses its way (docs/log.md).
            int end = depth / 16 * 16;
            for (int row = 0; row < width; row += 16)
            {
                for (k = 0; k < end; k += 16) Transpose16.Rows16(source + (row * stride) + k, stride, panel + (k * width) + row, width);
            }
        }
        else if (Simd.Width == 8 && width == 6)
        {
            for (; k + 8 <= depth; k += 8) Transpose8.Rows6(source + k, stride, panel + (k * 6));
        }
        else if (Simd.Width == 8)
        {
            for (; k + 8 <= depth; k += 8)
            {
                for (int row = 0; row < width; row += 8)
                    Transpose8.Rows8(source + (row * stride) + k, stride, panel + (k * width) + row, width);
            }
        }

        PackElements(new StridedMatrix(source + k, width, depth - k, stride, 1), width, panel + (k * width));
    }

    private static void PackElements(StridedMatrix source, int width, float* panel)
    {
        for (int k = 0; k < source.Columns; k++, panel += width)
        {
            float* from = source.At(0, k);
            int row = 0;
            for (; row < source.Rows; row++, from += source.RowStride) panel[row] = *from;
            for (; row < width; row++) panel[row] = 0;
        }
    }

    /// <summary>
    /// Full panels of rows that lie side by side, step by step across all panels: a line of the source is read once, in order.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopySteps(StridedMatrix source, int count, int width, float* panels)
    {
        nint panelStride = PanelStride(width, source.Columns);
        for (int k = 0; k < source.Columns; k++)
        {
            float* from = source.At(0, k), to = panels + (k * (nint)width);
            for (int panel = 0; panel < count; panel++, from += width, to += panelStride)
            {
                int i = 0;
                for (; i + 16 <= width; i += 16) Vector512.Load(from + i).Store(to + i);
                for (; i + 4 <= width; i += 4) Vector128.Load(from + i).Store(to + i);
                for (; i < width; i++) to[i] = from[i];
            }
        }
    }

    /// <summary>As <see cref="CopySteps"/> for the width that weight gradients pack most.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopySteps12(StridedMatrix source, int count, float* panels)
    {
        nint panelStride = PanelStride(12, source.Columns);
        for (int k = 0; k < source.Columns; k++)
        {
            float* from = source.At(0, k), to = panels + (k * (nint)12);
            for (int panel = 0; panel < count; panel++, from += 12, to += panelStride)
            {
                Vector256.Load(from).Store(to);
                Vector128.Load(from + 8).Store(to + 8);
            }
        }
    }
}
