namespace GatedFwa.Tensors.Cpu;

/// <summary>How a product is cut into pieces that fit the caches and keep all threads busy to the end: from its shape alone.</summary>
internal static class Blocking
{
    /// <summary>Depth of a slab: deep enough that reading and writing C costs nothing beside it (docs/log.md).</summary>
    public const int MaxDepth = 1024;

    /// <summary>Rows or columns of the slab that all threads share in the last-level cache.</summary>
    public const int MaxShared = 1536;

    /// <summary>Rows or columns of the block that one thread keeps in its second-level cache: whole panels of any micro-kernel.</summary>
    public const int BlockExtent = 96;

    /// <summary>So many items at least, where the shape has them.</summary>
    public const int WantedItems = 8;

    /// <summary>How much smaller the last items are: they decide how long the others wait for the slowest.</summary>
    public const int TailParts = 4;

    /// <summary>Rows or columns of the shared slab that an item works through at least.</summary>
    public const int MinPartExtent = 96;

    /// <summary>Pieces of at most <paramref name="largest"/> that cover <paramref name="extent"/>.</summary>
    public static int Pieces(int extent, int largest) => (extent + largest - 1) / largest;

    /// <summary>The extent of each of those pieces but the last when they are equal, in whole <paramref name="units"/>.</summary>
    public static int PieceExtent(int extent, int largest, int units)
    {
        int even = Pieces(extent, Pieces(extent, largest));
        return Pieces(even, units) * units;
    }
}
