namespace GatedFwa.Attention;

/// <summary>
/// The blocks that one query has chosen so far. Its own, the one before and the document's first need not compete; of equals the
/// lower number wins, because it is offered first.
/// </summary>
/// <param name="own">The query's own block.</param>
/// <param name="most">n.</param>
/// <param name="blocks">Room for n − 3 blocks, or null where none compete.</param>
/// <param name="importance">Room for as many numbers.</param>
internal unsafe struct BestBlocks(int own, int most, int* blocks, float* importance)
{
    /// <summary>Blocks that come before all others.</summary>
    public const int Forced = 3;

    private readonly int _room = blocks == null ? 0 : Math.Clamp(most - Forced, 0, Math.Max(0, own - 2));
    private int _count;

    /// <summary>Lets blocks compete.</summary>
    /// <param name="offered">What each counts.</param>
    /// <param name="first">The number of the first.</param>
    public void Offer(ReadOnlySpan<float> offered, int first)
    {
        if (_room == 0) return;
        int end = Math.Min(offered.Length, own - 1 - first);
        for (int i = first == 0 ? 1 : 0; i < end; i++)
        {
            if (_count < _room || offered[i] > importance[_room - 1]) Insert(offered[i], first + i);
        }
    }

    /// <summary>Writes the choice, ascending, −1 where there are no more.</summary>
    public readonly void Write(Span<int> choice)
    {
        int count = 0;
        foreach (int block in (ReadOnlySpan<int>)[own, own - 1, 0])
        {
            if (block >= 0 && count < choice.Length && !choice[..count].Contains(block)) choice[count++] = block;
        }

        new ReadOnlySpan<int>(blocks, _count).CopyTo(choice[count..]);
        count += _count;
        choice[..count].Sort();
        choice[count..].Fill(-1);
    }

    // Importance stays in descending order.
    private void Insert(float offered, int block)
    {
        int place = _count < _room ? _count++ : _room - 1;
        for (; place > 0 && offered > importance[place - 1]; place--)
            (importance[place], blocks[place]) = (importance[place - 1], blocks[place - 1]);
        (importance[place], blocks[place]) = (offered, block);
    }
}
