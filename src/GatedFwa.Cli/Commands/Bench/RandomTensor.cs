using System.Runtime.InteropServices;
using GatedFwa.Tensors;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Inputs that look like activations.</summary>
internal static class RandomTensor
{
    // A large tensor repeats itself after this many numbers: drawing them must not take longer than the measurement. A prime, so
    // that no row of a power of two repeats another and no block of keys ties with one before.
    private const int Distinct = 65521;

    public static Tensor Normal(Shape shape, ulong seed, Device device = default, DType type = DType.F32) =>
        Make(shape, seed, device, type, (random, i) => random.Normal(i));

    /// <summary>Decays as the gate gives them at initialisation.</summary>
    public static Tensor Decay(Shape shape, ulong seed, Device device = default) =>
        Make(shape, seed, device, DType.F32, (random, i) => 0.25f * random.Uniform(i));

    private static Tensor Make(Shape shape, ulong seed, Device device, DType type, Func<CounterRandom, long, float> draw)
    {
        var random = new CounterRandom(seed);
        var values = new float[Math.Min(Distinct, shape.Count)];
        for (int i = 0; i < values.Length; i++) values[i] = draw(random, i);
        byte[] bytes = type == DType.F32 ? MemoryMarshal.AsBytes(values.AsSpan()).ToArray() : Narrowed(values, type);
        Tensor tensor = Tensor.Empty(shape, type, device);
        long total = shape.Count * type.Bytes();
        for (long start = 0; start < total; start += bytes.Length)
            tensor.Storage.CopyFromHost(bytes.AsSpan(0, (int)Math.Min(bytes.Length, total - start)), start);
        return tensor;
    }

    private static byte[] Narrowed(float[] values, DType type)
    {
        var narrow = new ushort[values.Length];
        for (int i = 0; i < narrow.Length; i++)
        {
            float value = HalfPrecision.Round(values[i], type);
            narrow[i] = type == DType.F16 ? BitConverter.HalfToUInt16Bits((Half)value) : (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
        }

        return MemoryMarshal.AsBytes(narrow.AsSpan()).ToArray();
    }
}
