using System.Numerics;
using System.Runtime.CompilerServices;

namespace GatedFwa.Tensors;

/// <summary>
/// Random numbers by position: the n-th number of a stream is a hash of (seed, n), so that any thread computes any element and
/// a resumed run continues the very same sequence. Statistically sound, not for secrets.
/// </summary>
/// <param name="seed">Names the stream.</param>
public readonly struct CounterRandom(ulong seed)
{
    private const ulong Stride = 0x9E3779B97F4A7C15; // From what is hashed for a position to the next.
    private const double TwoToMinus53 = 1.0 / (1L << 53);

    // Relative: far more than the vectors' logarithm and cosine differ from the system's (2⁻⁵¹), far less than floats from each other.
    private const double Doubt = 1.0 / (1L << 45);

    private readonly ulong _key = Mix(seed + Stride);

    /// <summary>What names the stream to a kernel (dropout.cu has the hash).</summary>
    internal ulong Key => _key;

    /// <summary>A stream of its own for a part of a whole: a layer, a step, a parameter.</summary>
    /// <param name="part">Which part.</param>
    public CounterRandom Split(ulong part) => new(Mix(_key ^ Mix(part + 0xD1B54A32D192ED03)));

    /// <summary>64 random bits at a position.</summary>
    /// <param name="position">The position in the stream.</param>
    public ulong Bits(long position) => Mix(_key + ((ulong)position * Stride));

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

    /// <summary>
    /// Many at once, the same bits as from <see cref="Normal"/>: vectors compute them to more digits than a float has. Where those digits
    /// leave open which float is nearest, which is rare, <see cref="Normal"/> is asked.
    /// </summary>
    /// <param name="first">The position of the first.</param>
    /// <param name="normals">Receives them.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal void Normals(long first, Span<float> normals)
    {
        // A normal takes two hashes, so a vector of doubles moves on by twice its length.
        Vector<ulong> move = new(2 * (ulong)Vector<double>.Count * Stride);
        Vector<ulong> at = new Vector<ulong>(_key + (2 * (ulong)first * Stride)) + (Vector<ulong>.Indices * new Vector<ulong>(Stride << 1));
        int i = 0;
        for (; i <= normals.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<double> low = Normals(at, out Vector<double> lowDoubt), high = Normals(at + move, out Vector<double> highDoubt);
            at += move + move;
            Vector<float> least = Vector.Narrow(low - lowDoubt, high - highDoubt);
            if (least == Vector.Narrow(low + lowDoubt, high + highDoubt))
            {
                least.CopyTo(normals[i..]);
                continue;
            }

            for (int j = i; j < i + Vector<float>.Count; j++) normals[j] = Normal(first + j);
        }

        for (; i < normals.Length; i++) normals[i] = Normal(first + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<double> Normals(Vector<ulong> at, out Vector<double> doubt)
    {
        Vector<double> uniform = Vector.ConvertToDouble((Mix(at) >> 11) + Vector<ulong>.One) * TwoToMinus53;
        Vector<double> angle = 2 * Math.PI * Vector.ConvertToDouble(Mix(at + new Vector<ulong>(Stride)) >> 11) * TwoToMinus53;
        Vector<double> radius = Vector.SquareRoot(-2 * Vector.Log(uniform));
        doubt = radius * Doubt;
        return radius * Vector.Cos(angle);
    }

    // The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<ulong> Mix(Vector<ulong> z)
    {
        z = (z ^ (z >> 30)) * new Vector<ulong>(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * new Vector<ulong>(0x94D049BB133111EB);
        return z ^ (z >> 31);
    }
}
