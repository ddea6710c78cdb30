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

    /// <summary>Fills a table [T, D]: a row holds D/2 cosines, then D/2 sines.</summary>
    public static void Fill(float* table, int tokens, int size, long firstPosition, double frequencyBase)
    {
        int half = size / 2;
        double[] frequencies = Frequencies(size, frequencyBase);
        int offsets = Math.Min(Stride, tokens);
        var offsetCos = new double[offsets * half];
        var offsetSin = new double[offsets * half];
        for (int i = 0; i < offsets * half; i++) (offsetSin[i], offsetCos[i]) = Math.SinCos(i / half * frequencies[i % half]);

        WorkerPool.Shared.For((tokens + Stride - 1) / Stride, block =>
        {
            int first = block * Stride, rows = Math.Min(Stride, tokens - first);
            Span<double> cos = new double[half], sin = new double[half];
            for (int j = 0; j < half; j++) (sin[j], cos[j]) = Math.SinCos((firstPosition + first) * frequencies[j]);
            for (int row = 0; row < rows; row++)
            {
                float* target = table + ((long)(first + row) * size);
                ReadOnlySpan<double> c = offsetCos.AsSpan(row * half, half), s = offsetSin.AsSpan(row * half, half);
                for (int j = 0; j < c.Length; j++)
                {
                    target[j] = (float)((cos[j] * c[j]) - (sin[j] * s[j]));
                    target[half + j] = (float)((sin[j] * c[j]) + (cos[j] * s[j]));
                }
            }
        });
    }
}
