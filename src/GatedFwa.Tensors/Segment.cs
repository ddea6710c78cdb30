namespace GatedFwa.Tensors;

/// <summary>A run of positions that belong together: attention, prefix sums and token shift never look outside it.</summary>
/// <param name="Batch">The row of the batch.</param>
/// <param name="Start">Its first position.</param>
/// <param name="End">One past its last position.</param>
internal readonly record struct Segment(int Batch, int Start, int End)
{
    /// <summary>The number of positions.</summary>
    public int Length => End - Start;
}
