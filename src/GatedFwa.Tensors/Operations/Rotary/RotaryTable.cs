using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

/// <summary>
/// Cosines and sines of positions × frequencies, exact to float32 at any position: angles are double. Only every 32nd
/// position is evaluated; those between follow by the addition theorem, in double, from a table of 32 offsets.
/// </summary>
internal static unsafe class RotaryTable
{
    private const int Stride = 32;

    /// <summary>Radians a position, for each of D/2 pairs.</summary>
    public static double[] Frequencies(int size, double frequencyBase) =>
        [.. Enumerable.Range(0, size / 2).Select(j => Math.Pow(frequencyBase, -2.0 * j / size))];

    /// <summary>Refuses positions before a text's first, and any number of them but one, or one a row of x [B, …].</summary>
    public static void RequirePositions(string operation, Tensor x, ReadOnlySpan<long> firstPositions)
    {
        int rows = x.Shape[0];
        if (firstPositions.Length != 1 && (firstPositions.IsEmpty || firstPositions.Length != rows))
            throw new OperandException(operation, $"one first position, or one for each of {rows} rows", $"{firstPositions.Length}");
        foreach (long position in firstPositions)
        {
            if (position < 0) throw new OperandException(operation, "a first position of at least 0", $"{position}");
        }
    }

    /// <summary>The table that turns x, made once a tape, for all layers: a row holds D/2 cosines, then D/2 sines.</summary>
    /// <param name="tape">Keeps it.</param>
    /// <param name="x">[B, T, H, D].</param>
    /// <param name="firstPositions">The position of token 0: one for all rows of x, or B of them.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    /// <returns>F32 [T, D], or [B T, D] where each row of x has a position of its own.</returns>
    public static Tensor Of(Tape tape, Tensor x, ReadOnlySpan<long> firstPositions, float frequencyBase)
    {
        var key = new Key(x.Device, x.Shape[1], x.Shape[3], firstPositions.ToArray(), frequencyBase);
        return tape.Shared(key, () => Make(key));
    }

    private static Tensor Make(Key key)
    {
        Tensor table = Tensor.Empty([key.FirstPositions.Length * key.Tokens, key.Size], DType.F32, key.Device);
        if (table.Count == 0) return table;
        if (key.Device.IsCpu) Fill(table.Floats, key.Tokens, key.Size, key.FirstPositions, key.FrequencyBase);
        else RotaryCuda.Fill(table, key.Tokens, key.FirstPositions, key.FrequencyBase);
        return table;
    }

    /// <summary>Fills a table, T rows from each first position on.</summary>
    private static void Fill(float* table, int tokens, int size, long[] firstPositions, double frequencyBase)
    {
        int half = size / 2;
        double[] frequencies = Frequencies(size, frequencyBase);
        int offsets = Math.Min(Stride, tokens);
        var offsetCos = new double[offsets * half];
        var offsetSin = new double[offsets * half];
        for (int i = 0; i < offsets * half; i++) (offsetSin[i], offsetCos[i]) = Math.SinCos(i / half * frequencies[i % half]);

        int blocks = (tokens + Stride - 1) / Stride;
        WorkerPool.Shared.For(firstPositions.Length * blocks, item =>
        {
            (int text, int block) = Math.DivRem(item, blocks);
            int first = block * Stride, rows = Math.Min(Stride, tokens - first);
            Span<double> cos = new double[half], sin = new double[half];
            for (int j = 0; j < half; j++) (sin[j], cos[j]) = Math.SinCos((firstPositions[text] + first) * frequencies[j]);
            for (int row = 0; row < rows; row++)
            {
                float* target = table + ((((long)text * tokens) + first + row) * size);
                ReadOnlySpan<double> c = offsetCos.AsSpan(row * half, half), s = offsetSin.AsSpan(row * half, half);
                for (int j = 0; j < c.Length; j++)
                {
                    target[j] = (float)((cos[j] * c[j]) - (sin[j] * s[j]));
                    target[half + j] = (float)((sin[j] * c[j]) + (cos[j] * s[j]));
                }
            }
        });
    }

    private sealed record Key(Device Device, int Tokens, int Size, long[] FirstPositions, float FrequencyBase)
    {
        public bool Equals(Key? other) =>
            other is not null && (Device, Tokens, Size, FrequencyBase) == (other.Device, other.Tokens, other.Size, other.FrequencyBase) &&
            FirstPositions.AsSpan().SequenceEqual(other.FirstPositions);

        public override int GetHashCode() =>
            HashCode.Combine(Device, Tokens, Size, FirstPositions[0], FirstPositions.Length, FrequencyBase);
    }
}
