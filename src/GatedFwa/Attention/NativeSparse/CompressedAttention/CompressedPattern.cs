using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>Every query meets the means of the blocks that are complete when it comes: 64 means are a tile.</summary>
internal sealed unsafe class CompressedPattern : SparsePattern
{
    private readonly CpuStorage _tokens; // All that a query may be, ascending: the tokens of a tile are a run of them.
    private readonly int _first;

    public CompressedPattern(NativeSparseProblem problem)
    {
        _first = problem.Blocks.Segments.Select(blocks => problem.Queries(blocks).First).DefaultIfEmpty().Min();
        int end = problem.Blocks.Segments.Select(blocks => blocks.Segment.Length).DefaultIfEmpty().Max();
        _tokens = CpuMemory.Rent(Math.Max(0, end - _first));
        for (int token = _first; token < end; token++) ((int*)_tokens.Pointer)[token - _first] = token;
    }

    /// <inheritdoc/>
    public override KeyTile Tile(in SegmentBlocks blocks, int tile)
    {
        int first = tile * Kernels.Tile.Size;
        return new(blocks.FirstPooled + first, Math.Min(Kernels.Tile.Size, blocks.Complete - first), ((first + 1) * blocks.Size) - 1);
    }

    /// <inheritdoc/>
    public override int TilesBefore(in SegmentBlocks blocks, int token) =>
        token == 0 ? 0 : (blocks.CompleteAt(token - 1) + Kernels.Tile.Size - 1) / Kernels.Tile.Size;

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Tokens(in QueryRange range, int tile)
    {
        int first = Math.Max(range.First, Tile(range.Blocks, tile).FirstToken);
        return new((int*)_tokens.Pointer + (first - _first), Math.Max(0, range.End - first));
    }

    /// <inheritdoc/>
    public override int Visible(in SegmentBlocks blocks, in KeyTile tile, int token) =>
        Math.Min(tile.Count, blocks.CompleteAt(token) - (tile.Position - blocks.FirstPooled));

    /// <inheritdoc/>
    public override void Dispose() => _tokens.Dispose();
}
