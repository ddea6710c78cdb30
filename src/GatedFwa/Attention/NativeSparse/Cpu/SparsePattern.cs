using GatedFwa.Attention.Kernels;

namespace GatedFwa.Attention;

/// <summary>A run of keys that a micro-kernel takes at once.</summary>
/// <param name="Position">The first key's row in its row of the batch.</param>
/// <param name="Count">Keys, 1 … 64.</param>
/// <param name="FirstToken">The first token that may see one of them.</param>
internal readonly record struct KeyTile(int Position, int Count, int FirstToken);

/// <summary>
/// Who meets whom: the keys of a document in tiles of up to 64, and for each tile the queries that see some of it. All that sets
/// compressed and selected attention apart.
/// </summary>
internal abstract class SparsePattern : IDisposable
{
    /// <summary>A tile of a document's keys.</summary>
    public abstract KeyTile Tile(in SegmentBlocks blocks, int tile);

    /// <summary>How many tiles the tokens before one may see.</summary>
    public abstract int TilesBefore(in SegmentBlocks blocks, int token);

    /// <summary>The tokens of a range that see some key of a tile, ascending.</summary>
    public abstract ReadOnlySpan<int> Tokens(in QueryRange range, int tile);

    /// <summary>How many keys of a tile, from its first on, such a token sees.</summary>
    public abstract int Visible(in SegmentBlocks blocks, in KeyTile tile, int token);

    /// <inheritdoc/>
    public abstract void Dispose();
}
