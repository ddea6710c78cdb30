using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>Queries of one segment with the heads of one group: what one thread works on. Cut by shape alone, never by threads.</summary>
/// <param name="Segment">The segment; positions and tiles are counted from its start.</param>
/// <param name="KeyHead">The key head; all query heads that read it belong to the item and share its packed tiles.</param>
/// <param name="FirstRow">The first query's position in the segment.</param>
/// <param name="EndRow">One past the last query's.</param>
internal readonly record struct WorkItem(Segment Segment, int KeyHead, int FirstRow, int EndRow)
{
    // Enough that many cores find work and a thread that was held up leaves little behind.
    private const int Items = 64;

    // Forward: every item packs a window of keys of its own, so few rows are dear; q and o of many would leave the cache.
    private const int MinForwardRows = 256, MaxForwardRows = 1024;
    private const int ForwardFloats = 64 * 1024;

    // Backward: every cut costs a window of gradients that is written apart and added afterwards.
    private const int MinBackwardRows = 512, MaxBackwardRows = 8192;

    public int FirstRowTile => Tile.Of(FirstRow);

    public int LastRowTile => Tile.Of(EndRow - 1);

    /// <summary>The items of a forward pass, in order: the last of a segment see most.</summary>
    public static WorkItem[] ForForward(GatedWindowProblem problem)
    {
        int floatsPerRow = problem.Shape.GroupSize * problem.Shape.HeadSize;
        int most = Math.Clamp(ForwardFloats / floatsPerRow, 2 * Tile.Size, MaxForwardRows);
        return Cut(problem, Math.Clamp(EvenRows(problem), Math.Min(MinForwardRows, most), most));
    }

    /// <summary>The items of a backward pass. Those of one segment and key head follow each other in order.</summary>
    public static WorkItem[] ForBackward(GatedWindowProblem problem)
    {
        long rows = Math.Clamp(EvenRows(problem), MinBackwardRows, MaxBackwardRows);
        // Under full causal attention the part written apart is everything before.
        int eighth = (problem.Shape.Tokens + 7) / 8;
        return Cut(problem, Math.Max(rows, Math.Min(problem.Window, eighth)));
    }

    private static long EvenRows(GatedWindowProblem problem) =>
        (long)problem.Shape.Batch * problem.Shape.Tokens * problem.Shape.KeyHeads / Items;

    private static WorkItem[] Cut(GatedWindowProblem problem, long rowsPerItem)
    {
        int tilesPerItem = (int)((rowsPerItem + Tile.Size - 1) / Tile.Size);
        var items = new List<WorkItem>();
        foreach (Segment segment in problem.Segments)
        {
            int first = Math.Max(0, problem.FirstQuery - segment.Start);
            if (first >= segment.Length) continue;
            for (int head = 0; head < problem.Shape.KeyHeads; head++)
            {
                for (int row = first; row < segment.Length;)
                {
                    int end = (int)Math.Min(segment.Length, (Tile.Of(row) + (long)tilesPerItem) * Tile.Size);
                    items.Add(new WorkItem(segment, head, row, end));
                    row = end;
                }
            }
        }

        return [.. items];
    }
}
