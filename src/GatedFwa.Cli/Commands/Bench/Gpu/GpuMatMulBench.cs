using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>The products of the model of 124 million parameters.</summary>
internal sealed class GpuMatMulBench : IGpuBenchmark
{
    private const int SamplesEach = 8;

    private static readonly (int M, int N, int K)[] Shapes = [(32_768, 768, 768), (32_768, 2048, 768), (32_768, 768, 2048), (8192, 50_304, 768)];

    public string Name => "matmul";

    public string Explanation =>
        "Matrix products M×N×K in bfloat16: NN = A·B, NT = A·Bᵀ, TN = Aᵀ·B. Work: 2·M·N·K. The limit is a product of 8192³, measured before and after a row's samples.";

    public IEnumerable<Row> Measure(GpuClock gpu)
    {
        foreach ((int m, int n, int k) in Shapes)
        {
            foreach (string variant in (string[])["NN", "NT", "TN"])
            {
                bool transposeA = variant[0] == 'T', transposeB = variant[1] == 'T';
                using Tensor a = RandomTensor.Normal(transposeA ? [k, m] : [m, k], seed: 1, gpu.Device, DType.BF16);
                using Tensor b = RandomTensor.Normal(transposeB ? [n, k] : [k, n], seed: 2, gpu.Device, DType.BF16);
                Func<int, double> run = gpu.Repeating(() =>
                {
                    using var tape = new Tape(recording: false);
                    MatMul.Apply(tape, a, b, transposeA, transposeB);
                });
                // Its time is of no interest by itself.
                yield return gpu.Timed($"{m}×{n}×{k} {variant}", 2.0 * m * n * k, SamplesEach, run)[1];
            }
        }
    }
}
