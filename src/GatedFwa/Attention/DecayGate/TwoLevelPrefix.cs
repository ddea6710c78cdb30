using GatedFwa.Tensors;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The prefix sum of α in two levels (docs/operator.md, "Exact at a million tokens"): Σ α inside each chunk of 64 positions, and
/// the total of each chunk. A reader adds the totals of the chunks between two positions only, so that a bias is as exact at
/// position 1,000,000 as at position 100. In double: a strong decay early in a chunk must not blur the weak ones after it.
/// </summary>
/// <remarks>Chunks are counted from the start of each segment; a segment's chunks lie side by side.</remarks>
internal sealed unsafe class TwoLevelPrefix : IDisposable
{
    public const int ChunkPositions = 64;

    private readonly CpuStorage _local, _totals;
    private readonly int _batch, _positions, _heads;
    private readonly int[] _firstChunks;

    /// <summary>Makes room for α [batch, positions, heads]; <see cref="DecayGate"/> fills it in the pass that computes α.</summary>
    public TwoLevelPrefix(SequenceLayout layout, int batch, int positions, int heads)
    {
        (_batch, _positions, _heads) = (batch, positions, heads);
        Segments = layout.Segments(nameof(DecayGate), batch, positions);
        _firstChunks = new int[Segments.Length];
        foreach ((int i, Segment segment) in Segments.Index())
        {
            _firstChunks[i] = ChunkCount;
            ChunkCount += (segment.Length + ChunkPositions - 1) / ChunkPositions;
        }

        _local = CpuMemory.Rent(2L * batch * heads * positions);
        _totals = CpuMemory.Rent(2L * heads * ChunkCount);
    }

    /// <summary>Where the sums begin anew.</summary>
    public Segment[] Segments { get; }

    /// <summary>Chunks of all segments.</summary>
    public int ChunkCount { get; }

    /// <summary>Σ α from the start of each position's chunk up to the position itself, [positions] of one batch row and head.</summary>
    public double* Local(int batch, int head) => (double*)_local.Pointer + ((((long)batch * _heads) + head) * _positions);

    /// <summary>Σ α of each chunk, [<see cref="ChunkCount"/>] of one head.</summary>
    public double* Totals(int head) => (double*)_totals.Pointer + ((long)head * ChunkCount);

    /// <summary>The first chunk of a segment.</summary>
    public int FirstChunk(int segment) => _firstChunks[segment];

    /// <summary>
    /// Σ α over positions <paramref name="from"/> + 1 … <paramref name="to"/> of a segment: how far a score decays from one to the
    /// other.
    /// </summary>
    public double Between(int segment, int head, int from, int to)
    {
        Segment s = Segments[segment];
        double* local = Local(s.Batch, head), totals = Totals(head) + _firstChunks[segment];
        double sum = local[to] - local[from];
        for (int chunk = (from - s.Start) / ChunkPositions; chunk < (to - s.Start) / ChunkPositions; chunk++) sum += totals[chunk];
        return sum;
    }

    /// <summary>
    /// u [batch, positions, heads]: −Σ α from the start of each position's segment up to the position itself; 0 for padding.
    /// </summary>
    public float[] ToDecay()
    {
        var u = new float[(long)_batch * _positions * _heads];
        foreach ((int index, Segment segment) in Segments.Index())
        {
            for (int head = 0; head < _heads; head++)
            {
                double* local = Local(segment.Batch, head), totals = Totals(head) + _firstChunks[index];
                double before = 0;
                for (int t = 0; t < segment.Length; t++)
                {
                    if (t > 0 && t % ChunkPositions == 0) before += totals[(t / ChunkPositions) - 1];
                    u[((((long)segment.Batch * _positions) + segment.Start + t) * _heads) + head] = (float)-(before + local[segment.Start + t]);
                }
            }
        }

        return u;
    }

    public void Dispose()
    {
        _local.Dispose();
        _totals.Dispose();
    }
}
