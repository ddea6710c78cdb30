using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class LinearTests() : LinearSuite(TestBackend.Cpu)
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup() => WorkerPool.Shared.Threads = _threads;

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        const int Rows = 4, N = 3, K = 5;
        double[] x = Samples.Widen(Samples.Normal(Rows * K, 1)), weight = Samples.Widen(Samples.Normal(N * K, 2)), bias = Samples.Widen(Samples.Normal(N, 3));
        double[] dy = Samples.Widen(Samples.Normal(Rows * N, 4));
        double Loss() => LinearReference.Forward(x, weight, bias, Rows, N, K).Zip(dy, (y, g) => y * g).Sum();
        (double[] dx, double[] dweight, double[] dbias) = LinearReference.Backward(x, weight, dy, Rows, N, K);
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, dx), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(weight, Loss, dweight), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(bias, Loss, dbias), 0, 1e-8);
    }

    [Theory]
    [InlineData(5)]
    [InlineData(200)]
    public void Any_number_of_threads_gives_the_same_bits(int rows)
    {
        const int N = 515, K = 900;
        float[][] expected = Run(rows, N, K, threads: 1);
        for (int threads = 2; threads <= 3; threads++)
        {
            float[][] actual = Run(rows, N, K, threads);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i]);
        }
    }

    private static float[][] Run(int rows, int n, int k, int threads)
    {
        WorkerPool.Shared.Threads = threads;
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Tensor.From(Samples.Normal(rows * k, 1), [rows, k])));
        Tensor weight = tape.Watch(tape.Own(Tensor.From(Samples.Normal(n * k, 2), [n, k])));
        Tensor bias = tape.Watch(tape.Own(Tensor.From(Samples.Normal(n, 3), [n])));
        Tensor y = Linear.Apply(tape, x, weight, bias);
        tape.Backward(y, tape.Own(Tensor.From(Samples.Normal(rows * n, 4), [rows, n])));
        return [y.ToArray(), tape.Gradient(x)!.ToArray(), tape.Gradient(weight)!.ToArray(), tape.Gradient(bias)!.ToArray()];
    }
}

public sealed class LinearCudaTests() : LinearSuite(TestBackend.CudaFloat32);

public sealed class LinearCudaBFloat16Tests() : LinearSuite(TestBackend.CudaBFloat16);

public sealed class LinearCudaFloat16Tests() : LinearSuite(TestBackend.CudaFloat16);

public abstract class LinearSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, 1, 1, false)]
    [InlineData(1, 257, 96, true)]
    [InlineData(3, 65, 31, true)]
    [InlineData(16, 130, 64, false)]
    [InlineData(17, 33, 100, true)]
    [InlineData(150, 300, 70, true)]
    [InlineData(900, 40, 24, true)]
    public void Follows_the_reference_in_both_directions(int rows, int n, int k, bool withBias)
    {
        float[] x = Backend.Round(Samples.Normal(rows * k, 1)), weight = Backend.Round(Samples.Normal(n * k, 2));
        float[] bias = Samples.Normal(n, 3), dy = Backend.Round(Samples.Normal(rows * n, 4));
        Operand[] inputs = [(x, [1, rows, k]), Operand.Parameter(weight, [n, k]), Operand.Parameter(bias, [n])];
        Differentiated result = Differentiated.Run(
            Backend,
            dy,
            (tape, tensors) => Linear.Apply(tape, tensors[0], tensors[1], withBias ? tensors[2] : null),
            withBias ? inputs : inputs[..2]);
        double[] wideX = Samples.Widen(x), wideW = Samples.Widen(weight);
        double[] y = LinearReference.Forward(wideX, wideW, withBias ? Samples.Widen(bias) : null, rows, n, k);
        (double[] dx, double[] dweight, double[] dbias) = LinearReference.Backward(wideX, wideW, Samples.Widen(dy), rows, n, k);
        ErrorNorm.Require(result.Y, y, Backend.Forward(3e-6));
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(1e-5));
        // Gradients of parameters are F32 everywhere.
        ErrorNorm.Require(result.Gradients[1], dweight, 1e-5);
        if (withBias) ErrorNorm.Require(result.Gradients[2], dbias, 1e-5);
    }

    [Fact]
    public void A_result_of_another_type_than_the_input_is_only_less_rounded()
    {
        const int Rows = 6, N = 20, K = 16;
        float[] x = Backend.Round(Samples.Normal(Rows * K, 1)), weight = Backend.Round(Samples.Normal(N * K, 2)), dy = Backend.Round(Samples.Normal(Rows * N, 4));
        Differentiated result = Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) => Linear.Apply(tape, inputs[0], inputs[1], resultType: DType.F32),
            (x, [Rows, K]),
            Operand.Parameter(weight, [N, K]));
        double[] wideX = Samples.Widen(x), wideW = Samples.Widen(weight);
        (double[] dx, double[] dweight, _) = LinearReference.Backward(wideX, wideW, Samples.Widen(dy), Rows, N, K);
        ErrorNorm.Require(result.Y, LinearReference.Forward(wideX, wideW, null, Rows, N, K), 3e-6);
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(1e-5));
        ErrorNorm.Require(result.Gradients[1], dweight, 1e-5);
    }

    [Fact]
    public void Gives_the_same_bits_again() => Repeatability.Check(() => Differentiated.Run(
        Backend,
        Backend.Round(Samples.Normal(300 * 24, 4)),
        (tape, inputs) => Linear.Apply(tape, inputs[0], inputs[1], inputs[2]),
        (Backend.Round(Samples.Normal(300 * 40, 1)), [300, 40]),
        Operand.Parameter(Samples.Normal(24 * 40, 2), [24, 40]),
        Operand.Parameter(Samples.Normal(24, 3), [24])));

    [Fact]
    public void A_parameter_gathers_gradients_until_it_is_cleared()
    {
        using var weight = new Parameter("weight", Backend.Parameter([1f, 2f], [1, 2]));
        for (int pass = 1; pass <= 2; pass++)
        {
            using var tape = new Tape();
            tape.Backward(Linear.Apply(tape, tape.Own(Backend.Activation([3f, 5f], [1, 2])), weight));
            Assert.Equal([3f * pass, 5f * pass], weight.Gradient.ToArray());
        }
    }

    [Fact]
    public void Adds_to_a_gradient_that_another_use_of_x_left()
    {
        Differentiated result = Differentiated.Run(
            Backend,
            [1f, 1f],
            (tape, inputs) => Linear.Apply(tape, Linear.Apply(tape, inputs[0], inputs[1]), inputs[1]),
            (new float[] { 3, 5 }, [1, 2]),
            Operand.Parameter([1, 2, 0, 1], [2, 2]));
        Assert.Equal([23f, 5f], result.Y);
        Assert.Equal([1f, 5f], result.Gradients[0]);
        // dW = [1, 1]ᵀ · (x Wᵀ) + (dy W)ᵀ · x with x Wᵀ = [13, 5] and dy W = [1, 3].
        Assert.Equal([13f + 3f, 5f + 5f, 13f + 9f, 5f + 15f], result.Gradients[1]);
    }

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[6], [2, 3])), weight = tape.Own(Backend.Parameter(new float[20], [4, 5]));
        Tensor fitting = tape.Own(Backend.Parameter(new float[12], [4, 3])), bias = tape.Own(Backend.Parameter(new float[3], [3]));
        Assert.Equal(
            "Linear expects an input [..., 5] for the weight [4, 5], but got [2, 3].",
            Assert.Throws<OperandException>(() => Linear.Apply(tape, x, weight)).Message);
        Assert.Contains("an F32 bias [4]", Assert.Throws<OperandException>(() => Linear.Apply(tape, x, fitting, bias)).Message);
        Assert.Contains("[outputs, inputs]", Assert.Throws<OperandException>(() => Linear.Apply(tape, x, bias)).Message);
        Assert.Contains(
            "F32",
            Assert.Throws<OperandException>(() => Linear.Apply(tape, tape.Own(Tensor.Zeros([2, 3], DType.I32, Backend.Device)), fitting)).Message);
        Assert.Contains("I32", Assert.Throws<OperandException>(() => Linear.Apply(tape, x, fitting, resultType: DType.I32)).Message);
    }
}
