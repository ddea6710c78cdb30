using GatedFwa.Attention.Kernels;

namespace GatedFwa.Attention;

/// <summary>Queries of one document with the heads of one group: what one thread works on. Cut by shape alone, never by threads.</summary>
/// <param name="Blocks">The document.</param>
/// <param name="Document">Its number among the documents.</param>
/// <param name="KeyHead">The key head; all query heads that read it belong to the range.</param>
/// <param name="Number">Which of the document's ranges this is.</param>
/// <param name="First">The first query's token.</param>
/// <param name="End">One past the last query's.</param>
internal readonly record struct QueryRange(SegmentBlocks Blocks, int Document, int KeyHead, int Number, int First, int End)
{
    // Enough that many cores find work, and not so many that the state of their rows leaves the second-level cache.
    private const int Ranges = 64, MinRows = 1024, MaxRows = 2048;

    /// <summary>All ranges; those of one document and key head follow each other in order.</summary>
    public static QueryRange[] Cut(NativeSparseProblem problem)
    {
        int tokens = TokensPerRange(problem);
        var ranges = new List<QueryRange>();
        for (int document = 0; document < problem.Blocks.Segments.Length; document++)
        {
            SegmentBlocks blocks = problem.Blocks.Segments[document];
            (int first, int end) = problem.Queries(blocks);
            for (int keyHead = 0; keyHead < problem.Shape.KeyHeads; keyHead++)
            {
                for (int token = first, number = 0; token < end; number++)
                {
                    int next = (int)Math.Min(end, (token / tokens + 1L) * tokens);
                    ranges.Add(new QueryRange(blocks, document, keyHead, number, token, next));
                    token = next;
                }
            }
        }

        return [.. ranges];
    }

    private static int TokensPerRange(NativeSparseProblem problem)
    {
        GatedWindowShape shape = problem.Shape;
        long rows = Math.Clamp((long)shape.Batch * shape.Tokens * shape.Heads / Ranges, MinRows, MaxRows);
        // A block that is packed should meet a tile of queries, of which each chooses n among all.
        rows = Math.Max(rows, (long)Tile.Size * problem.Blocks.MostBlocks / problem.BlockCount);
        long tiles = Math.Max(1, rows / shape.GroupSize / Tile.Size);
        return (int)Math.Min(tiles * Tile.Size, int.MaxValue);
    }
}
