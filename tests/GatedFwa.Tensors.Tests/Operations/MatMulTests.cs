using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class MatMulTests() : MatMulSuite(TestBackend.Cpu)
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void The_reference_gradient_is_the_derivative(bool transposeA, bool transposeB)
    {
        const int M = 3, N = 4, K = 5;
        double[] a = Samples.Widen(Samples.Normal(M * K, 1)), b = Samples.Widen(Samples.Normal(K * N, 2)), dc = Samples.Widen(Samples.Normal(M * N, 3));
        double Loss() => MatMulReference.Forward(a, b, M, N, K, transposeA, transposeB).Zip(dc, (c, g) => c * g).Sum();
        (double[] da, double[] db) = MatMulReference.Backward(a, b, dc, M, N, K, transposeA, transposeB);
        Assert.InRange(GradientCheck.WorstDeviation(a, Loss, da), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(b, Loss, db), 0, 1e-8);
    }

    [Fact]
    public void A_zeroed_result_would_be_noticed()
    {
        double[] expected = MatMulReference.Forward(
            Samples.Widen(Samples.Normal(12, 1)), Samples.Widen(Samples.Normal(12, 2)), 3, 3, 4, false, false);
        Assert.Equal(1, ErrorNorm.Relative(new float[9], expected), 1e-12);
    }
}

public sealed class MatMulCudaTests() : MatMulSuite(TestBackend.CudaFloat32);

public sealed class MatMulCudaBFloat16Tests() : MatMulSuite(TestBackend.CudaBFloat16);

public sealed class MatMulCudaFloat16Tests() : MatMulSuite(TestBackend.CudaFloat16);

public abstract class MatMulSuite(TestBackend backend) : TensorTest(backend)
{
    private static readonly (int M, int N, int K)[] Shapes =
    [
        (1, 1, 1), (1, 33, 17), (2, 3, 1), (16, 64, 40), (17, 1, 5), (25, 31, 65), (97, 35, 64), (130, 257, 70), (64, 48, 1100), (50, 1600, 20),
    ];

    public static TheoryData<int, int, int, bool, bool> Grid()
    {
        var grid = new TheoryData<int, int, int, bool, bool>();
        foreach ((int m, int n, int k) in Shapes)
        {
            for (int transposes = 0; transposes < 4; transposes++) grid.Add(m, n, k, (transposes & 1) != 0, (transposes & 2) != 0);
        }

        return grid;
    }

    [Theory]
    [MemberData(nameof(Grid))]
    public void Follows_the_reference_in_both_directions(int m, int n, int k, bool transposeA, bool transposeB)
    {
        float[] a = Backend.Round(Samples.Normal(m * k, 1)), b = Backend.Round(Samples.Normal(k * n, 2)), dc = Backend.Round(Samples.Normal(m * n, 3));
        Differentiated result = Differentiated.Run(
            Backend,
            dc,
            (tape, inputs) => MatMul.Apply(tape, inputs[0], inputs[1], transposeA, transposeB),
            (a, transposeA ? [k, m] : [m, k]),
            (b, transposeB ? [n, k] : [k, n]));
        double[] wideA = Samples.Widen(a), wideB = Samples.Widen(b);
        (double[] da, double[] db) = MatMulReference.Backward(wideA, wideB, Samples.Widen(dc), m, n, k, transposeA, transposeB);
        ErrorNorm.Require(result.Y, MatMulReference.Forward(wideA, wideB, m, n, k, transposeA, transposeB), Backend.Forward(3e-6));
        ErrorNorm.Require(result.Gradients[0], da, Backend.Gradient(1e-5));
        ErrorNorm.Require(result.Gradients[1], db, Backend.Gradient(1e-5));
    }

    [Fact]
    public void A_matrix_times_its_own_transpose_gets_both_gradients()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation([1f, 2f, 3f], [1, 3])));
        tape.Backward(MatMul.Apply(tape, x, x, transposeB: true));
        Assert.Equal([2f, 4f, 6f], tape.Gradient(x)!.ToArray());
    }

    [Fact]
    public void An_empty_sum_is_zero()
    {
        using var tape = new Tape(recording: false);
        Tensor c = MatMul.Apply(tape, tape.Own(Backend.Activation([], [2, 0])), tape.Own(Backend.Activation([], [0, 3])));
        Assert.Equal(new float[6], c.ToArray());
    }

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using var tape = new Tape();
        Tensor a = tape.Own(Backend.Activation(new float[6], [2, 3])), b = tape.Own(Backend.Activation(new float[6], [2, 3])), cube = tape.Own(Backend.Activation(new float[6], [1, 2, 3])), ids = tape.Own(Tensor.Zeros([3, 2], DType.I32, Backend.Device));
        Assert.Equal(
            "MatMul expects matrices whose inner extents agree, but got [2, 3] · [2, 3].",
            Assert.Throws<OperandException>(() => MatMul.Apply(tape, a, b)).Message);
        Assert.Contains("[2, 3]ᵀ · [2, 3]ᵀ", Assert.Throws<OperandException>(() => MatMul.Apply(tape, a, b, true, true)).Message);
        Assert.Contains("two matrices", Assert.Throws<OperandException>(() => MatMul.Apply(tape, a, cube)).Message);
        Assert.Contains("F32", Assert.Throws<OperandException>(() => MatMul.Apply(tape, a, ids)).Message);
    }
}
