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
    private const double LogOfTwo = 0.693147180559945309;
    private const double TwoToMinus53 = 1.0 / (1L << 53);

    // Of the radius: far more than the vectors' logarithm and cosine differ from the system's (2⁻⁴⁹), far less than floats from each
    // other (2⁻²⁴).
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
    /// <remarks>Logarithm and cosine are written out here because the runtime's in vectors begin uncompiled, and a large model's weights
    /// were made by the time that the JIT had seen to them.</remarks>
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
        Vector<double> turn = Vector.ConvertToDouble(Mix(at + new Vector<ulong>(Stride)) >> 11) * TwoToMinus53;
        Vector<double> radius = Vector.SquareRoot(-2 * Log(uniform));
        doubt = radius * Doubt;
        return radius * CosineOfTurn(turn);
    }

    // ln x = e ln 2 + ln m = e ln 2 + 2 artanh s, where x = 2ᵉ m, √½ ≤ m < √2 and s = (m − 1) / (m + 1), so |s| < 0.172. The series is
    // artanh s = s + s³/3 + s⁵/5 + …; what follows s¹⁹/19 is less than 2⁻⁵⁵ of it.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<double> Log(Vector<double> x)
    {
        const ulong RootOfHalf = 0x3FE6A09E667F3BCD, ExponentOfOne = 0x3FF0000000000000, Fraction = (1UL << 52) - 1;
        // Moved on by the distance from √½ to 1, in steps of the last digit: so the exponent counts on at √½ instead of at 1.
        Vector<ulong> bits = Vector.AsVectorUInt64(x) + new Vector<ulong>(ExponentOfOne - RootOfHalf);
        Vector<double> exponent = Vector.ConvertToDouble(Vector.AsVectorInt64((bits >> 52) - new Vector<ulong>(ExponentOfOne >> 52)));
        Vector<double> m = Vector.AsVectorDouble((bits & new Vector<ulong>(Fraction)) + new Vector<ulong>(RootOfHalf));
        Vector<double> s = (m - Vector<double>.One) / (m + Vector<double>.One), square = s * s;
        Vector<double> series = new(1.0 / 19);
        series = Horner(series, square, 1.0 / 17);
        series = Horner(series, square, 1.0 / 15);
        series = Horner(series, square, 1.0 / 13);
        series = Horner(series, square, 1.0 / 11);
        series = Horner(series, square, 1.0 / 9);
        series = Horner(series, square, 1.0 / 7);
        series = Horner(series, square, 1.0 / 5);
        series = Horner(series, square, 1.0 / 3);
        series = Horner(series, square, 1);
        return Vector.MultiplyAddEstimate(series, s + s, exponent * LogOfTwo);
    }

    // cos 2πx = sin 2π(|x − ½| − ¼) for 0 ≤ x ≤ 1, where all but the factor 2π is exact and the angle at most ±π/2. The series is Taylor's,
    // sin a = a − a³/3! + a⁵/5! − …; what follows a¹⁹/19! is less than 2⁻⁵² of a.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<double> CosineOfTurn(Vector<double> x)
    {
        Vector<double> angle = (Vector.Abs(x - new Vector<double>(0.5)) - new Vector<double>(0.25)) * (2 * Math.PI), square = angle * angle;
        Vector<double> series = new(-1 / 121_645_100_408_832_000.0); // 19!
        series = Horner(series, square, 1 / 355_687_428_096_000.0); // 17!
        series = Horner(series, square, -1 / 1_307_674_368_000.0); // 15!
        series = Horner(series, square, 1 / 6_227_020_800.0); // 13!
        series = Horner(series, square, -1 / 39_916_800.0); // 11!, then 9!, 7!, 5!, 3!
        series = Horner(series, square, 1 / 362_880.0);
        series = Horner(series, square, -1 / 5040.0);
        series = Horner(series, square, 1 / 120.0);
        series = Horner(series, square, -1 / 6.0);
        series = Horner(series, square, 1);
        return series * angle;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<double> Horner(Vector<double> series, Vector<double> x, double coefficient) =>
        Vector.MultiplyAddEstimate(series, x, new Vector<double>(coefficient));

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
