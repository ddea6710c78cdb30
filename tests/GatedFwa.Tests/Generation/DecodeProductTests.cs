using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Generation;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Generation;

public sealed class DecodeProductCudaTests() : DecodeProductSuite(TestBackend.CudaFloat32);

public sealed class DecodeProductCudaBFloat16Tests() : DecodeProductSuite(TestBackend.CudaBFloat16);

public sealed class DecodeProductCudaFloat16Tests() : DecodeProductSuite(TestBackend.CudaFloat16);

/// <summary>Products of a few rows, with what goes along, against plain loops in double.</summary>
public abstract class DecodeProductSuite(TestBackend backend) : TensorTest(backend)
{
    private const float Epsilon = 1e-6f;

    [Theory]
    [InlineData(1, 768, new[] { 768, 12 })]
    [InlineData(1, 2048, new[] { 33 })]
    [InlineData(2, 8, new[] { 1, 1, 1, 1, 1 })]
    [InlineData(8, 264, new[] { 40, 20, 20, 3, 3 })]
    [InlineData(16, 1000, new[] { 9 })]
    [InlineData(20, 96, new[] { 30, 70 })]
    [InlineData(64, 64, new[] { 2050 })]
    [InlineData(33, 768, new[] { 7, 1, 90 })]
    [InlineData(17, 1032, new[] { 50 })] // From 1,024 features on, blocks of fewer texts.
    [InlineData(50, 5000, new[] { 9 })] // More features than fit shared memory.
    [InlineData(17, 15_000, new[] { 5 })] // Nor do a decay's weights of four heads.
    public void Several_weights_and_a_decay_of_one_norm(int rows, int width, int[] outputs)
    {
        const int Heads = 3;
        float[] x = Samples.Normal(rows * width, 1, 3), norm = Samples.Normal(width, 2);
        float[][] weights = [.. outputs.Select((count, i) => Backend.Round(Samples.Normal(count * width, 10 + (ulong)i)))];
        float[] gate = Samples.Normal(Heads * width, 3), amplitude = Samples.Normal(Heads * width, 4);
        using Tensor xs = F32(x, rows), norms = Backend.Parameter(norm, [width]);
        using Tensor gates = F32(gate, Heads), amplitudes = F32(amplitude, Heads);
        Tensor[] tensors = [.. weights.Select((weight, i) => F32(weight, outputs[i]))];
        int columns = outputs.Sum() + (2 * Heads);
        using Tensor y = Tensor.Empty([rows, columns], DType.F32, Backend.Device);
        using DecodeProduct.NormedStream? normed = Normed(xs, norms);
        new DecodeProduct(Backend.Activations, Epsilon).Store(xs, norms, tensors, (gates, amplitudes), y, normed: normed);

        double[] normalised = Norm(x, norm);
        double[] expected = Product(normalised, rows, [.. weights.SelectMany(weight => weight), .. gate, .. amplitude]);
        ErrorNorm.Require(y.ToArray(), expected, Backend.Forward(1e-6));
        foreach (Tensor tensor in tensors) tensor.Dispose();
    }

    [Theory]
    [InlineData(1, 768, 768)]
    [InlineData(3, 2048, 17)]
    [InlineData(16, 96, 8)]
    [InlineData(40, 512, 20)]
    [InlineData(64, 2048, 72)]
    [InlineData(19, 4104, 33)]
    public void A_product_is_added_to_the_residual_stream(int rows, int width, int outputs)
    {
        float[] x = Backend.Round(Samples.Normal(rows * width, 1)), weight = Backend.Round(Samples.Normal(outputs * width, 2));
        float[] sum = Samples.Normal(rows * outputs, 3);
        using Tensor xs = Backend.Activation(x, [rows, width]), weights = F32(weight, outputs), sums = F32(sum, rows);
        new DecodeProduct(Backend.Activations, Epsilon).Add(xs, weights, sums);
        double[] expected = [.. Product(Samples.Widen(x), rows, weight).Zip(sum, (product, before) => product + before)];
        ErrorNorm.Require(sums.ToArray(), expected, 1e-6);
    }

    [Theory]
    [InlineData(3, 2, 16, 4)]
    [InlineData(20, 5, 24, 3)]
    [InlineData(64, 2, 128, 2)]
    public void Parts_of_a_window_are_joined_on_the_way(int rows, int heads, int size, int splits)
    {
        const int Outputs = 21;
        int width = heads * size, parts = rows * heads * splits;
        float[] gathered = Samples.Normal(parts * size, 1), weight = Backend.Round(Samples.Normal(Outputs * width, 2));
        double[] decay = [.. Samples.Normal(parts, 3).Select(x => Math.Round(Math.Abs(x), 2))];
        float[] highest = Samples.Normal(parts, 4), weights = [.. Samples.Normal(parts, 5).Select(x => 1 + Math.Abs(x))];
        var stretches = new float[4 * parts]; // As stretch.cuh has them: a double and two floats.
        var x = new double[rows * width];
        for (int head = 0; head < rows * heads; head++)
        {
            double newer = 0, sum = 0;
            for (int part = head * splits; part < (head + 1) * splits; part++)
            {
                MemoryMarshal.Cast<float, double>(stretches.AsSpan(4 * part, 2))[0] = decay[part];
                (stretches[(4 * part) + 2], stretches[(4 * part) + 3]) = (highest[part], weights[part]);
                double factor = Math.Pow(2, highest[part] - (newer / Math.Log(2)));
                newer += decay[part];
                sum += factor * weights[part];
                for (int d = 0; d < size; d++) x[(head * size) + d] += factor * gathered[(part * size) + d];
            }

            for (int d = 0; d < size; d++) x[(head * size) + d] /= sum;
        }

        using Tensor outputs = F32(gathered, parts), stretch = F32(stretches, parts), matrix = F32(weight, Outputs);
        using Tensor sums = F32(new float[rows * Outputs], rows);
        var there = new RingDecodeCuda.Parts(outputs.Address, stretch.Address, splits, size);
        new DecodeProduct(Backend.Activations, Epsilon).Add(there, matrix, sums);
        ErrorNorm.Require(sums.ToArray(), Product(x, rows, weight), Backend.Forward(1e-6));
    }

    [Theory]
    [InlineData(1, 768, 2048)]
    [InlineData(5, 40, 12)]
    [InlineData(18, 72, 1030)]
    [InlineData(64, 768, 100)]
    [InlineData(30, 1104, 10)]
    public void Gate_and_value_become_one(int rows, int width, int outputs)
    {
        float[] x = Samples.Normal(rows * width, 1), norm = Samples.Normal(width, 2);
        float[] gate = Backend.Round(Samples.Normal(outputs * width, 3, 0.1f));
        float[] value = Backend.Round(Samples.Normal(outputs * width, 4, 0.1f));
        using Tensor xs = F32(x, rows), norms = Backend.Parameter(norm, [width]), gates = F32(gate, outputs), values = F32(value, outputs);
        using Tensor y = Tensor.Empty([rows, outputs], Backend.Activations, Backend.Device);
        using DecodeProduct.NormedStream? normed = Normed(xs, norms);
        new DecodeProduct(Backend.Activations, Epsilon).SwiGlu(xs, norms, gates, values, y, normed: normed);
        double[] normalised = Norm(x, norm);
        double[] expected =
        [
            .. Product(normalised, rows, gate).Zip(Product(normalised, rows, value), (g, v) => g / (1 + Math.Exp(-g)) * v),
        ];
        ErrorNorm.Require(y.ToArray(), expected, Backend.Forward(1e-6));
    }

    [Theory]
    [InlineData(1, 768, 1030)] // Several turns of a warp.
    [InlineData(3, 40, 5)]
    [InlineData(8, 296, 70)]
    [InlineData(16, 512, 601)]
    public void Scores_of_a_vocabulary(int rows, int width, int outputs)
    {
        float[] x = Samples.Normal(rows * width, 1, 3), norm = Samples.Normal(width, 2);
        float[] weight = Backend.Round(Samples.Normal(outputs * width, 3));
        using Tensor xs = F32(x, rows), norms = Backend.Parameter(norm, [width]), weights = F32(weight, outputs);
        using Tensor y = Tensor.Empty([rows, outputs], DType.F32, Backend.Device);
        new DecodeProduct(Backend.Activations, Epsilon).Scores(xs, norms, weights, y);
        ErrorNorm.Require(y.ToArray(), Product(Norm(x, norm), rows, weight), Backend.Forward(1e-6));
    }

    /// <summary>What a product that adds nothing to x leaves of it, if products of so many rows read that.</summary>
    private DecodeProduct.NormedStream? Normed(Tensor x, Tensor norm)
    {
        const int Features = 8;
        (int rows, int width) = (x.Shape[0], x.Shape[1]);
        DecodeProduct.NormedStream? normed = DecodeProduct.NormedStream.For(rows, width, Backend.Activations, Backend.Device);
        if (normed is null) return null;
        using Tensor nothing = Backend.Activation(new float[rows * Features], [rows, Features]);
        using Tensor weight = F32(new float[width * Features], width);
        new DecodeProduct(Backend.Activations, Epsilon).Add(nothing, weight, x, normed, norm);
        return normed;
    }

    private static double[] Norm(float[] x, float[] weight) =>
    [
        .. x.Chunk(weight.Length).SelectMany(row =>
        {
            double scale = 1 / Math.Sqrt(row.Average(value => (double)value * value) + Epsilon);
            return row.Zip(weight, (value, factor) => value * scale * factor);
        }),
    ];

    /// <summary>x [rows, K] · weightᵀ [N, K].</summary>
    private static double[] Product(double[] x, int rows, float[] weight)
    {
        int width = x.Length / rows, outputs = weight.Length / width;
        var y = new double[rows * outputs];
        for (int i = 0; i < y.Length; i++)
        {
            for (int k = 0; k < width; k++) y[i] += x[(i / outputs * width) + k] * weight[(i % outputs * width) + k];
        }

        return y;
    }

    private Tensor F32(float[] values, int rows) => Backend.Parameter(values, [rows, values.Length / rows]);
}
