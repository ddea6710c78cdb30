namespace GatedFwa.Tensors.Cuda;

/// <summary>How kernels that are bound by memory cut their work: threads of 16 bytes each.</summary>
internal static class RowLaunch
{
    /// <summary>Threads of a block of such a kernel.</summary>
    public const int Threads = 256;

    private const int PackBytes = 16;

    /// <summary>One thread for every 16 bytes of a tensor, the last few elements included (<c>each_pack</c>).</summary>
    public static LaunchShape Packs(Tensor tensor) => Over(Quotient(tensor.Count, PackBytes / tensor.Type.Bytes()));

    /// <summary>One thread for each of so many items.</summary>
    public static LaunchShape Over(long items) => new(checked((int)Quotient(items, Threads)), Threads);

    /// <summary>Neighbours that a thread takes of a row: 16 bytes of them if rows begin on 16 bytes, else one.</summary>
    public static int PackOf(DType type, int width) => width % (PackBytes / type.Bytes()) == 0 ? PackBytes / type.Bytes() : 1;

    /// <summary>The same for rows of a tensor that may be columns of a wider one.</summary>
    public static int PackOf(Tensor x, int width)
    {
        int first = x.Part is { IsColumns: true } columns ? columns.First : 0;
        return PackOf(x.Type, width | x.RowStride(width) | first); // A power of two divides all of them where it divides this.
    }

    /// <summary>Rounded up.</summary>
    public static long Quotient(long dividend, long divisor) => (dividend + divisor - 1) / divisor;

    /// <inheritdoc cref="Quotient(long, long)"/>
    public static int Quotient(int dividend, int divisor) => (dividend + divisor - 1) / divisor;
}
