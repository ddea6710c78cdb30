using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>What a block of threads of <c>pooled_tiles.cuh</c> keeps and lets go past.</summary>
/// <param name="Warps">Of a block.</param>
/// <param name="RowTiles">Products of 16 rows that a warp has.</param>
/// <param name="Keys">Pooled rows that go past at a time.</param>
/// <param name="RowGroup">Rows of 16 that a query's heads take.</param>
/// <param name="Blocks">Of a multiprocessor.</param>
/// <param name="SharedBytes">Of a block.</param>
internal readonly record struct PooledTile(int Warps, int RowTiles, int Keys, int RowGroup, int Blocks, int SharedBytes)
{
    private const int Stages = 2, RowsOfProduct = 16;

    /// <summary>Finds the tile.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="type">Of activations.</param>
    /// <param name="device">What it must fit.</param>
    /// <param name="kept">Rows of width D that a block keeps of each row of its own: q, or q and do.</param>
    /// <param name="passing">Rows of width D that go past of each pooled row: k̄, or k̄ and v̄.</param>
    public static PooledTile Of(GatedWindowShape shape, DType type, CudaDevice device, int kept, int passing)
    {
        // A thread has registers for 128 columns of 32 rows, or 256 of 16, beside the scores.
        bool isWide = type == DType.F32 || shape.HeadSize > 128;
        int rowBytes = KeyTileCuda.RowBytes(shape, type, RowsOfProduct), rowGroup = ListedAttentionCuda.RowGroup(shape);
        PooledTile Tile(int warps, int rowTiles, int keys) => new(
            warps,
            rowTiles,
            keys,
            rowGroup,
            isWide ? 1 : kept + passing == 2 ? 3 : 2,
            rowBytes * ((kept * warps * rowTiles * RowsOfProduct) + (passing * Stages * keys)));
        PooledTile[] tiles = isWide
            ? [Tile(4, 1, 32), Tile(4, 1, 16), Tile(2, 1, 16), Tile(1, 1, 16)]
            : [Tile(4, 2, kept == 1 ? 64 : 32), Tile(4, 1, 32)];
        return Array.Find(tiles, tile => tile.SharedBytes <= device.MaxSharedBytes) is { Keys: > 0 } found ? found : tiles[^1];
    }

    /// <summary>What kernels are compiled with.</summary>
    public KernelDefine[] Defines(GatedWindowShape shape, DType type) =>
    [
        KernelDefine.Element(type), ("HEAD_SIZE", shape.HeadSize), ("GROUP", shape.GroupSize), ("ROW_GROUP", RowGroup),
        ("WARPS", Warps), ("ROW_TILES", RowTiles), ("KEYS", Keys), ("BLOCKS", Blocks),
    ];

    /// <summary>Blocks for so many queries of each text and key head.</summary>
    public LaunchShape Launch(GatedWindowShape shape, int tokens, bool joinsParts = false)
    {
        int parts = joinsParts ? 1 : RowLaunch.Quotient(shape.GroupSize, RowGroup);
        int queries = Warps * RowTiles * RowsOfProduct / RowGroup;
        return new(RowLaunch.Quotient(tokens, queries), 32 * Warps, SharedBytes, BlocksY: shape.KeyHeads * parts, BlocksZ: shape.Batch);
    }
}
