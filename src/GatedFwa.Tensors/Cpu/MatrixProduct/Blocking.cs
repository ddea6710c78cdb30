namespace GatedFwa.Tensors.Cpu;

/// <summary>How a product is cut into pieces that fit the caches and keep all threads busy to the end: from its shape alone.</summary>
internal static class Blocking
{
    /// <summary>Depth of a slab: deep enough that reading and writing C costs nothing beside it (docs/log.md).</summary>
    public const int MaxDepth = 768;

    /// <summary>Columns of a slab of B, which all threads share in the last-level cache.</summary>
    public const int MaxColumns = 1536;

    /// <summary>Rows of a block of A, which one thread keeps in its second-level cache.</summary>
    public const int MaxRows = 96;

    // So many items that whoever is done first waits little for the others.
    private const int WantedItems = 16;

    // A block of A is packed anew for each part of the columns: with fewer panels that would begin to show.
    private const int MinPanelsInPart = 4;

    /// <summary>The smallest number of equal pieces of at most <paramref name="largest"/>.</summary>
    public static int Pieces(int extent, int largest) => (extent + largest - 1) / largest;

    /// <summary>The extent of each of those pieces but the last, in whole <paramref name="units"/>.</summary>
    public static int PieceExtent(int extent, int largest, int units)
    {
        int even = Pieces(extent, Pieces(extent, largest));
        return Pieces(even, units) * units;
    }

    /// <summary>Into how many blocks of rows and parts of columns one slab is cut.</summary>
    /// <param name="rowPanels">Panels of A.</param>
    /// <param name="columnPanels">Panels of B in the slab.</param>
    /// <param name="panelRows">Rows of a panel of A.</param>
    public static (int RowBlocks, int ColumnParts) Items(int rowPanels, int columnPanels, int panelRows)
    {
        int rowBlocks = Pieces(rowPanels, MaxRows / panelRows);
        // An even number of blocks, so that two threads end together.
        if (rowBlocks > 1 && rowBlocks % 2 == 1) rowBlocks++;
        int columnParts = Math.Clamp(Pieces(WantedItems, rowBlocks), 1, Math.Max(1, columnPanels / MinPanelsInPart));
        return (rowBlocks, columnParts);
    }
}
