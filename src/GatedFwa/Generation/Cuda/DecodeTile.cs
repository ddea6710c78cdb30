using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Generation;

/// <summary>
/// How a product of many texts is dealt to blocks (<c>decode_batch_product.cu</c>): so that all of them run at once, and none has to read
/// much of x, which is only there when the kernel before has ended.
/// </summary>
/// <param name="Rows">Texts of a block.</param>
/// <param name="Columns">Rows of weights of a block.</param>
/// <param name="ColumnGroups">Among how many groups of warps the columns are dealt; a group's warps share the features.</param>
/// <param name="Chunk">Features that arrive together.</param>
/// <param name="Stages">Chunks in shared memory at once.</param>
internal readonly record struct DecodeTile(int Rows, int Columns, int ColumnGroups, int Chunk, int Stages)
{
    private const int Warps = 8, TileColumns = 8, WarpFeatures = 32, ElementBytes = 2;

    /// <summary>Features from which on a block has fewer texts, so that the next kernel's weights find room beside it.</summary>
    private const int ManyFeatures = 1024;

    /// <summary>
    /// Chunks of many features in shared memory at once: so many that the kernels before and after, which keep all they read, find room
    /// beside it.
    /// </summary>
    private const int MostStages = 4;

    /// <summary>Beyond these columns, the sums of a warp take too many registers.</summary>
    private const int MostColumns = 64;

    /// <summary>Of a decay's weights, for the blocks that multiply by these.</summary>
    private const int MostDecayHeads = 4, DecayRows = 16;

    /// <summary>
    /// Dynamic shared memory: the tiles, in whose place come the sums of each group of features, and a factor of each row.
    /// </summary>
    public int SharedBytes =>
        Math.Max(Stages * StageBytes, Warps / ColumnGroups * Rows * (Columns + TileColumns) * sizeof(float)) + (Rows * sizeof(float));

    private int StageBytes => (Rows + Columns) * Chunk * ElementBytes;

    /// <summary>Decides.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="rows">Texts.</param>
    /// <param name="columns">Rows of all weights.</param>
    /// <param name="width">Features.</param>
    /// <param name="decayBlocks">Blocks that multiply by a decay's weights.</param>
    /// <param name="joins">Whether x is joined from parts, which are never many features: all of them are in shared memory then.</param>
    public static DecodeTile For(CudaDevice device, int rows, int columns, int width, int decayBlocks, bool joins)
    {
        (int blockRows, int groups) = width < ManyFeatures ? (32, 2) : (16, 1);
        int columnBlocks = Math.Max(1, (device.Multiprocessors - decayBlocks) / RowLaunch.Quotient(rows, blockRows));
        int step = groups * TileColumns;
        int blockColumns = Math.Clamp(RowLaunch.Quotient(RowLaunch.Quotient(columns, columnBlocks), step) * step, step, MostColumns);
        var tile = new DecodeTile(blockRows, blockColumns, groups, WarpFeatures * Warps / groups, 1);
        int chunks = RowLaunch.Quotient(width, tile.Chunk), wanted = width < ManyFeatures ? chunks : Math.Min(MostStages, chunks);
        int most = (device.MaxSharedBytes - (blockRows * sizeof(float))) / tile.StageBytes;
        if (joins && most < wanted) return tile with { Columns = step, Stages = wanted };
        return tile with { Stages = Math.Min(most, wanted) };
    }

    /// <summary>Of a decay's heads, how many a block keeps the weights of: as many as there is shared memory for.</summary>
    public static int DecayHeads(CudaDevice device, int width) =>
        Math.Clamp(device.MaxSharedBytes / (width * sizeof(float)), 1, MostDecayHeads);

    /// <summary>Blocks that multiply so many texts by the weights of a decay's heads, of which each has some.</summary>
    public static int DecayBlocks(int rows, int heads, int headsOfBlock) =>
        RowLaunch.Quotient(2 * heads, headsOfBlock) * RowLaunch.Quotient(rows, DecayRows);

    /// <summary>Blocks of so many texts and columns.</summary>
    public int Blocks(int rows, int columns) => RowLaunch.Quotient(rows, Rows) * RowLaunch.Quotient(columns, Columns);
}
