using GatedFwa.Attention.Kernels;

namespace GatedFwa.Attention;

/// <summary>
/// What lies in the band i − W + 1 ≤ j ≤ i, in tiles and in positions of one segment: only that is computed, O(T·W) in all.
/// </summary>
/// <param name="window">W, the keys a query sees; at least 1, at most the number of positions.</param>
internal readonly struct VisibleBlocks(int window)
{
    /// <summary>The first tile of keys that the query at a position sees.</summary>
    public int FirstKeyTile(int row) => Tile.Of(Math.Max(0, row - window + 1));

    /// <summary>The last tile of queries that sees a key of a tile.</summary>
    public int LastRowTile(int keyTile) => (int)(((long)keyTile * Tile.Size + Tile.Size - 1 + window - 1) / Tile.Size);

    /// <summary>The keys of a tile, as offsets from its start, that any query of a run sees: First ≤ offset &lt; End.</summary>
    public (int First, int End) Keys(int row, int rows, int keyTile)
    {
        int start = keyTile * Tile.Size;
        return (Math.Max(0, row - window + 1 - start), Math.Min(Tile.Size, row + rows - start));
    }

    /// <summary>The same within a panel of a tile.</summary>
    public (int First, int End) Keys(int row, int rows, int keyTile, int panel, int width)
    {
        (int first, int end) = Keys(row, rows, keyTile);
        return (Math.Max(first, panel), Math.Min(end, panel + width));
    }

    /// <summary>The queries of a tile, as offsets from its start, that see any key of a run.</summary>
    public (int First, int End) Rows(int key, int keys, int rowTile)
    {
        int start = rowTile * Tile.Size;
        return (Math.Max(0, key - start), (int)Math.Min(Tile.Size, (long)key + keys - 1 + window - start));
    }

    /// <summary>The keys that one query sees, as offsets from the start of a tile, not clipped to it: First … Last.</summary>
    public (int First, int Last) Row(int row, int keyTile)
    {
        int start = keyTile * Tile.Size;
        return (row - window + 1 - start, row - start);
    }

    /// <summary>Whether every query of a run sees every key of a tile: nothing to mask.</summary>
    public bool IsWhole(int row, int rows, int keyTile) =>
        row + rows - window <= keyTile * Tile.Size && row >= (keyTile * Tile.Size) + Tile.Size - 1;
}
