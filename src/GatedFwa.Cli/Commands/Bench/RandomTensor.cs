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

    /// <summary>
    /// Like <see cref="Normal"/> with rows [D] that each begin elsewhere in the numbers drawn: where no two tokens may be alike.
    /// </summary>
    public static Tensor NormalRows(Shape shape, ulong seed, Device device, DType type)
    {
        const int RowsAtOnce = 4096;
        var random = new CounterRandom(seed);
        byte[] numbers = Bytes(Distinct, random, type, (source, i) => source.Normal(i));
        int row = shape[^1] * type.Bytes();
        var bytes = new byte[RowsAtOnce * row];
        Tensor tensor = Tensor.Empty(shape, type, device);
        for (long first = 0; first < shape.Rows; first += RowsAtOnce)
        {
            int rows = (int)Math.Min(RowsAtOnce, shape.Rows - first);
            for (int i = 0; i < rows; i++)
            {
                int start = (int)(random.Uniform(Distinct + first + i) * (Distinct - shape[^1])) * type.Bytes();
                numbers.AsSpan(start, row).CopyTo(bytes.AsSpan(i * row));
            }

            tensor.Storage.CopyFromHost(bytes.AsSpan(0, rows * row), first * row);
        }

        return tensor;
    }

    private static Tensor Make(Shape shape, ulong seed, Device device, DType type, Func<CounterRandom, long, float> draw)
    {
        var random = new CounterRandom(seed);
        byte[] bytes = Bytes((int)Math.Min(Distinct, shape.Count), random, type, draw);
        Tensor tensor = Tensor.Empty(shape, type, device);
        long total = shape.Count * type.Bytes();
        for (long start = 0; start < total; start += bytes.Length)
            tensor.Storage.CopyFromHost(bytes.AsSpan(0, (int)Math.Min(bytes.Length, total - start)), start);
        return tensor;
    }

    private static byte[] Bytes(int count, CounterRandom random, DType type, Func<CounterRandom, long, float> draw)
    {
        var values = new float[count];
        for (int i = 0; i < values.Length; i++) values[i] = draw(random, i);
        return type == DType.F32 ? MemoryMarshal.AsBytes(values.AsSpan()).ToArray() : Narrowed(values, type);
    }

    private static byte[] Narrowed(float[] values, DType type)
    {
        var narrow = new ushort[values.Length];
        for (int i = 0; i < narrow.Length; i++)
        {
            float value = HalfPrecision.Round(values[i], type);
            narrow[i] = type == DType.F16
                ? BitConverter.HalfToUInt16Bits((Half)value)
                : (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
        }

        return MemoryMarshal.AsBytes(narrow.AsSpan()).ToArray();
    }
}
