using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>Every query meets the blocks it chose, up to itself: a block of up to 64 tokens is a tile, a larger one several.</summary>
internal sealed class SelectedPattern : SparsePattern
{
    private readonly SelectedQueries _queries;
    private readonly int _tilesPerBlock, _tileSize;

    public SelectedPattern(NativeSparseProblem problem, Tensor indices)
    {
        _queries = new SelectedQueries(problem, indices);
        _tilesPerBlock = (problem.BlockSize + Kernels.Tile.Size - 1) / Kernels.Tile.Size;
        // Of even length, in whole vectors.
        int even = (problem.BlockSize + _tilesPerBlock - 1) / _tilesPerBlock;
        _tileSize = (even + Kernels.Tile.BlockLanes - 1) / Kernels.Tile.BlockLanes * Kernels.Tile.BlockLanes;
    }

    /// <inheritdoc/>
    public override KeyTile Tile(in SegmentBlocks blocks, int tile)
    {
        (int block, int part) = Math.DivRem(tile, _tilesPerBlock);
        (int first, int end) = blocks.Tokens(block);
        int token = Math.Min(end, first + (part * _tileSize));
        return new(blocks.Segment.Start + token, Math.Min(_tileSize, end - token), token);
    }

    /// <inheritdoc/>
    public override int TilesBefore(in SegmentBlocks blocks, int token)
    {
        (int block, int rest) = Math.DivRem(token, blocks.Size);
        return (block * _tilesPerBlock) + Math.Min(_tilesPerBlock, (rest + _tileSize - 1) / _tileSize);
    }

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Tokens(in QueryRange range, int tile)
    {
        ReadOnlySpan<int> tokens = _queries.Of(range.Document, range.KeyHead, tile / _tilesPerBlock);
        int first = FirstAtLeast(tokens, Math.Max(range.First, Tile(range.Blocks, tile).FirstToken));
        return tokens[first..Math.Max(first, FirstAtLeast(tokens, range.End))];
    }

    /// <inheritdoc/>
    public override int Visible(in SegmentBlocks blocks, in KeyTile tile, int token) => Math.Min(tile.Count, token - tile.FirstToken + 1);

    /// <inheritdoc/>
    public override void Dispose() => _queries.Dispose();

    private static int FirstAtLeast(ReadOnlySpan<int> ascending, int token)
    {
        int index = ascending.BinarySearch(token);
        return index < 0 ? ~index : index;
    }
}
