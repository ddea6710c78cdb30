namespace GatedFwa.Tensors;

/// <summary>
/// Random numbers by position: the n-th number of a stream is a hash of (seed, n), so that any thread computes any element and
/// a resumed run continues the very same sequence. Statistically sound, not for secrets.
/// </summary>
/// <param name="seed">Names the stream.</param>
public readonly struct CounterRandom(ulong seed)
{
    private const double TwoToMinus53 = 1.0 / (1L << 53);

    private readonly ulong _key = Mix(seed + 0x9E3779B97F4A7C15);

    /// <summary>What names the stream to a kernel (dropout.cu has the hash).</summary>
    internal ulong Key => _key;

    /// <summary>A stream of its own for a part of a whole: a layer, a step, a parameter.</summary>
    /// <param name="part">Which part.</param>
    public CounterRandom Split(ulong part) => new(Mix(_key ^ Mix(part + 0xD1B54A32D192ED03)));

    /// <summary>64 random bits at a position.</summary>
    /// <param name="position">The position in the stream.</param>
    public ulong Bits(long position) => Mix(_key + ((ulong)position * 0x9E3779B97F4A7C15));

    /// <summary>Uniform in [0, 1), 24 bits.</summary>
    /// <param name="position">The position in the stream.</param>
    public float Uniform(long position) => (Bits(position) >> 40) * (1f / (1 << 24));

    /// <summary>Uniform among 0 … <paramref name="limit"/> − 1.</summary>
    /// <param name="position">The position in the stream.</param>
    /// <param name="limit">One more than the largest result.</param>
    public long Below(long position, long limit) => (long)Math.BigMul(Bits(position), (ulong)limit, out _);

    /// <summary>Normal with mean 0 and variance 1 (Box and Muller).</summary>
    /// <param name="position">The position in the stream.</param>
    public float Normal(long position)
    {
        double radius = Math.Sqrt(-2 * Math.Log(((Bits(2 * position) >> 11) + 1) * TwoToMinus53));
        double angle = 2 * Math.PI * (Bits((2 * position) + 1) >> 11) * TwoToMinus53;
        return (float)(radius * Math.Cos(angle));
    }

    // The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
