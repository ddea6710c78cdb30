using GatedFwa.Tensors;

namespace GatedFwa.Testing;

/// <summary>Reproducible inputs.</summary>
public static class Samples
{
    /// <summary>Normal numbers, times <paramref name="scale"/>.</summary>
    public static float[] Normal(long count, ulong seed, float scale = 1)
    {
        var random = new CounterRandom(seed);
        var values = new float[count];
        for (long i = 0; i < count; i++) values[i] = random.Normal(i) * scale;
        return values;
    }

    /// <summary>Uniform numbers in [low, high).</summary>
    public static float[] Uniform(long count, ulong seed, float low = 0, float high = 1)
    {
        var random = new CounterRandom(seed);
        var values = new float[count];
        for (long i = 0; i < count; i++) values[i] = low + ((high - low) * random.Uniform(i));
        return values;
    }

    /// <summary>The same numbers, exactly, in double.</summary>
    public static double[] Widen(ReadOnlySpan<float> values)
    {
        var wide = new double[values.Length];
        for (int i = 0; i < wide.Length; i++) wide[i] = values[i];
        return wide;
    }
}
