using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Single-precision matrix products, packing and all.</summary>
internal sealed class MatMulBench : IBenchmark
{
    private const int SamplesEach = 8;

    private static readonly (int M, int N, int K)[] Shapes = [(1024, 1024, 1024), (2048, 768, 768), (2048, 2304, 768), (2048, 3072, 768)];

    public string Name => "matmul";

    public string Explanation =>
        "Matrix products M×N×K in float32: NN = A·B, NT = A·Bᵀ, TN = Aᵀ·B. Work: 2·M·N·K. The limit is the FMA peak of the same threads, measured before and after each sample.";

    public IEnumerable<Row> Measure(int threads)
    {
        foreach ((int m, int n, int k) in Shapes)
        {
            foreach (string variant in (string[])["NN", "NT", "TN"])
            {
                bool transposeA = variant[0] == 'T', transposeB = variant[1] == 'T';
                using Tensor a = RandomTensor.Normal(transposeA ? [k, m] : [m, k], seed: 1);
                using Tensor b = RandomTensor.Normal(transposeB ? [n, k] : [k, n], seed: 2);
                yield return Clock.Gigaflops($"{m}×{n}×{k} {variant}", threads, 2.0 * m * n * k, SamplesEach, () => Clock.Seconds(() =>
                {
                    using var tape = new Tape(recording: false);
                    MatMul.Apply(tape, a, b, transposeA, transposeB);
                }));
            }
        }
    }
}
