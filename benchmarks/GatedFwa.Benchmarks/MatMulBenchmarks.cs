using BenchmarkDotNet.Attributes;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Benchmarks;

/// <summary>The matrix product in its three variants; for shares of the machine's peak see <c>gatedfwa bench matmul</c>.</summary>
public class MatMulBenchmarks
{
    private Tensor _a = null!, _b = null!;

    /// <summary>Rows, columns and depth.</summary>
    [Params(256, 1024)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _a = Tensor.Zeros([Size, Size]);
        _b = Tensor.Zeros([Size, Size]);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _a.Dispose();
        _b.Dispose();
    }

    [Benchmark]
    public void NN() => Multiply(transposeA: false, transposeB: false);

    [Benchmark]
    public void NT() => Multiply(transposeA: false, transposeB: true);

    [Benchmark]
    public void TN() => Multiply(transposeA: true, transposeB: false);

    private void Multiply(bool transposeA, bool transposeB)
    {
        using var tape = new Tape(recording: false);
        MatMul.Apply(tape, _a, _b, transposeA, transposeB);
    }
}
