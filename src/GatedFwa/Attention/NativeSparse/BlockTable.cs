using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>The blocks of one document. Tokens and blocks are counted from its start.</summary>
/// <param name="Segment">Where the document lies.</param>
/// <param name="Size">ℓ: tokens of a block.</param>
/// <param name="FirstPooled">Where its first complete block lies among the pooled rows of its row of the batch.</param>
internal readonly record struct SegmentBlocks(Segment Segment, int Size, int FirstPooled)
{
    /// <summary>Blocks that are filled: those that have a pooled row.</summary>
    public int Complete => Segment.Length / Size;

    /// <summary>All blocks; the last may be short.</summary>
    public int Count => (Segment.Length - 1) / Size + 1;

    /// <summary>The block a token lies in.</summary>
    public int Own(int token) => token / Size;

    /// <summary>The blocks that are filled when a token has come: what its compressed attention sees.</summary>
    public int CompleteAt(int token) => (token + 1) / Size;

    /// <summary>The tokens of a block: First ≤ token &lt; End.</summary>
    public (int First, int End) Tokens(int block) => (block * Size, (int)Math.Min(Segment.Length, (block + 1L) * Size));
}

/// <summary>Which pooled row holds the mean of which block: rows [B, C], those of a row's documents one after the other.</summary>
/// <param name="Segments">The documents, in order of batch and position.</param>
/// <param name="PooledRows">C: the most complete blocks of any row of the batch; rows beyond a batch row's own are 0.</param>
/// <param name="MostBlocks">The most blocks of any document, the unfilled one included; at least 1.</param>
internal sealed record BlockTable(SegmentBlocks[] Segments, int PooledRows, int MostBlocks)
{
    /// <summary>Lays out the blocks of all documents.</summary>
    /// <param name="segments">The documents, in order of batch and position.</param>
    /// <param name="size">ℓ.</param>
    public static BlockTable Of(ReadOnlySpan<Segment> segments, int size)
    {
        var blocks = new SegmentBlocks[segments.Length];
        int batch = -1, pooled = 0, rows = 0, most = 1;
        for (int i = 0; i < segments.Length; i++)
        {
            if (segments[i].Batch != batch) (batch, pooled) = (segments[i].Batch, 0);
            blocks[i] = new SegmentBlocks(segments[i], size, pooled);
            pooled += blocks[i].Complete;
            rows = Math.Max(rows, pooled);
            most = Math.Max(most, blocks[i].Count);
        }

        return new BlockTable(blocks, rows, most);
    }
}
