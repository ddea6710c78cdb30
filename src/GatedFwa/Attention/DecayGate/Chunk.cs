using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>At most 64 neighbouring positions that one work item of the gate computes.</summary>
/// <param name="Batch">The row of the batch.</param>
/// <param name="Start">The first position.</param>
/// <param name="Length">How many.</param>
/// <param name="Index">Which chunk of the prefix it is; −1 for padding, which has none.</param>
internal readonly record struct Chunk(int Batch, int Start, int Length, int Index)
{
    /// <summary>All positions of a grid: the chunks of the prefix's segments and the padding between them.</summary>
    public static Chunk[] Cut(int batch, int positions, TwoLevelPrefix? prefix)
    {
        var chunks = new List<Chunk>();
        Segment[] segments = prefix?.Segments ?? [];
        int next = 0;
        for (int row = 0; row < batch; row++)
        {
            int done = 0;
            for (; next < segments.Length && segments[next].Batch == row; next++)
            {
                Add(row, done, segments[next].Start, index: null);
                Add(row, segments[next].Start, segments[next].End, prefix!.FirstChunk(next));
                done = segments[next].End;
            }

            Add(row, done, positions, index: null);
        }

        return [.. chunks];

        void Add(int row, int start, int end, int? index)
        {
            for (; start < end; start += TwoLevelPrefix.ChunkPositions)
            {
                chunks.Add(new(row, start, Math.Min(TwoLevelPrefix.ChunkPositions, end - start), index ?? -1));
                index++;
            }
        }
    }
}
