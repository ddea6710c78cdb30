using GatedFwa.Tensors;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Inputs that look like activations.</summary>
internal static class RandomTensor
{
    // A large tensor repeats itself after this many numbers: drawing them must not take longer than the measurement.
    private const int Distinct = 1 << 16;

    public static Tensor Normal(Shape shape, ulong seed) => Make(shape, seed, (random, i) => random.Normal(i));

    /// <summary>Decays as the gate gives them at initialisation.</summary>
    public static Tensor Decay(Shape shape, ulong seed) => Make(shape, seed, (random, i) => 0.25f * random.Uniform(i));

    private static Tensor Make(Shape shape, ulong seed, Func<CounterRandom, long, float> draw)
    {
        var random = new CounterRandom(seed);
        var values = new float[Math.Min(Distinct, shape.Count)];
        for (int i = 0; i < values.Length; i++) values[i] = draw(random, i);
        Tensor tensor = Tensor.Empty(shape);
        for (Span<float> rest = tensor.AsSpan(); rest.Length > 0;)
        {
            int count = Math.Min(rest.Length, values.Length);
            values.AsSpan(0, count).CopyTo(rest);
            rest = rest[count..];
        }

        return tensor;
    }
}
