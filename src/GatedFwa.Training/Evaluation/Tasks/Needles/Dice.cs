using GatedFwa.Tensors;

namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>A stream of random numbers, one after the other.</summary>
internal sealed class Dice(CounterRandom random)
{
    private long _position;

    /// <summary>64 random bits.</summary>
    public ulong Bits() => random.Bits(_position++);

    /// <summary>One of 0 … <paramref name="limit"/> − 1.</summary>
    public int Below(int limit) => (int)random.Below(_position++, limit);

    /// <summary>One of some.</summary>
    public T Among<T>(IReadOnlyList<T> items) => items[Below(items.Count)];

    /// <summary>So many different ones of 0 … <paramref name="limit"/> − 1, in random order (Floyd's way, then shuffled).</summary>
    public int[] Sample(int count, int limit)
    {
        var chosen = new List<int>(count);
        for (int last = limit - count; last < limit; last++)
        {
            int drawn = Below(last + 1);
            chosen.Add(chosen.Contains(drawn) ? last : drawn);
        }

        return Shuffle([.. chosen]);
    }

    /// <summary>The same items in random order.</summary>
    public T[] Shuffle<T>(T[] items)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int other = Below(i + 1);
            (items[i], items[other]) = (items[other], items[i]);
        }

        return items;
    }
}
