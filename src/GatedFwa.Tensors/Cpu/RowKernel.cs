using System.Runtime.Intrinsics;

namespace GatedFwa.Tensors.Cpu;

/// <summary>A kernel over rows (or single elements) that do not depend on one another: its operands are its fields.</summary>
internal interface IRowKernel
{
    /// <summary>Works on rows <paramref name="first"/> … <paramref name="last"/> − 1.</summary>
    void Run<V, S>(long first, long last)
        where V : struct
        where S : struct, ISimd<V>;
}

/// <summary>Cuts rows into blocks by shape alone and runs a kernel on them with the processor's vector width and all threads.</summary>
internal static class RowKernel
{
    // Large enough to be worth a hand-over, small enough to stay in the first-level cache's neighbourhood.
    private const int BlockFloats = 16 * 1024;

    /// <summary>The rows of a block, for rows of <paramref name="rowFloats"/> floats.</summary>
    public static long RowsPerBlock(long rowFloats) => Math.Max(1, BlockFloats / Math.Max(1, rowFloats));

    /// <summary>Runs a kernel on single elements.</summary>
    public static void Run<K>(K kernel, long elements)
        where K : struct, IRowKernel => Run(kernel, elements, RowsPerBlock(1));

    /// <summary>Runs a kernel on rows, a block at a time: <c>first / rowsPerBlock</c> tells it which.</summary>
    public static void Run<K>(K kernel, long rows, long rowsPerBlock)
        where K : struct, IRowKernel
    {
        int blocks = checked((int)((rows + rowsPerBlock - 1) / rowsPerBlock));
        WorkerPool.Shared.For(blocks, block =>
        {
            long first = block * rowsPerBlock;
            Run(kernel, first, Math.Min(rows, first + rowsPerBlock), Simd.Width);
        });
    }

    private static void Run<K>(K kernel, long first, long last, int width)
        where K : struct, IRowKernel
    {
        switch (width)
        {
            case 16:
                kernel.Run<Vector512<float>, Simd512>(first, last);
                break;
            case 8:
                kernel.Run<Vector256<float>, Simd256>(first, last);
                break;
            default:
                kernel.Run<Vector128<float>, Simd128>(first, last);
                break;
        }
    }
}
