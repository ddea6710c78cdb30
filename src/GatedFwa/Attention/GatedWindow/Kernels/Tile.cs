namespace GatedFwa.Attention.Kernels;

/// <summary>The extents that everything is cut by.</summary>
internal static class Tile
{
    /// <summary>
    /// Positions of a tile of keys, a tile of queries, and a chunk of the decay's prefix: one grid for all three, counted from the
    /// start of a segment.
    /// </summary>
    public const int Size = 64;

    /// <summary>Rows that a micro-kernel holds in registers: six rows of four vectors are 24 accumulators.</summary>
    public const int BlockRows = 6;

    /// <summary>The last block of a tile has 64 − 10 · 6 rows.</summary>
    public const int LastBlockRows = 4;

    /// <summary>Room for a per-row number of one block in the widest vector.</summary>
    public const int BlockLanes = 16;

    /// <summary>Blocks that rows of a tile can begin, wherever the first begins.</summary>
    public const int MaxBlocks = 11;

    /// <summary>Vectors of one row that a micro-kernel holds: AVX-512 has twice the registers of the others.</summary>
    public static int MaxVectors(int vectorWidth) => vectorWidth == 16 ? 4 : 2;

    /// <summary>The tile that holds a position.</summary>
    public static int Of(int position) => position / Size;

    /// <summary>The head size in whole vectors.</summary>
    public static int PaddedSize(int headSize, int vectorWidth) => (headSize + vectorWidth - 1) / vectorWidth * vectorWidth;
}
