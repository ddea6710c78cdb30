using System.Runtime.CompilerServices;

namespace GatedFwa.Attention.Kernels;

/// <summary>Work on a block of R rows × N vectors whose extents the JIT knows; its fields are its operands.</summary>
internal interface ITileKernel
{
    /// <summary>Does the work.</summary>
    /// <remarks>Must not be inlined: several of these in one method are more variables than the JIT tracks, and the accumulators
    /// would live in memory (measured: half the speed).</remarks>
    void Run<R, N>()
        where R : struct, ICount
        where N : struct, ICount;
}

/// <summary>From extents at run time to a kernel compiled for them.</summary>
internal static class TileKernel
{
    /// <summary>Runs a kernel.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="rows">Rows that count, 1 … 6: up to 4 are computed as 4, others as 6, and memory must hold those.</param>
    /// <param name="vectors">Vectors of a row, 1 … 4.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<K>(ref K kernel, int rows, int vectors)
        where K : struct, ITileKernel
    {
        if (rows > Tile.LastBlockRows) Run<K, Six>(ref kernel, vectors);
        else Run<K, Four>(ref kernel, vectors);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Run<K, R>(ref K kernel, int vectors)
        where K : struct, ITileKernel
        where R : struct, ICount
    {
        switch (vectors)
        {
            case 4:
                kernel.Run<R, Four>();
                break;
            case 3:
                kernel.Run<R, Three>();
                break;
            case 2:
                kernel.Run<R, Two>();
                break;
            default:
                kernel.Run<R, One>();
                break;
        }
    }
}
