using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class LinearTests : TensorTest
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup() => WorkerPool.Shared.Threads = _threads;

    [Theory]
    [InlineData(1, 1, 1, false)]
    [InlineData(1, 257, 96, true)]
    [InlineData(3, 65, 31, true)]
    [InlineData(16, 130, 64, false)]
    [InlineData(17, 33, 100, true)]
    [InlineData(150, 300, 70, true)]
    [InlineData(900, 40, 24, false)]
    public void Follows_the_reference_in_both_directions(int rows, int n, int k, bool withBias)
    {
        float[] x = Samples.Normal(rows * k, 1), weight = Samples.Normal(n * k, 2), bias = Samples.Normal(n, 3), dy = Samples.Normal(rows * n, 4);
        using var tape = new Tape();
        Tensor tx = tape.Watch(tape.Own(Tensor.From(x, [1, rows, k])));
        Tensor tw = tape.Watch(tape.Own(Tensor.From(weight, [n, k])));
        Tensor? tb = withBias ? tape.Watch(tape.Own(Tensor.From(bias, [n]))) : null;
        Tensor y = Linear.Apply(tape, tx, tw, tb);
        double[] wideX = Samples.Widen(x), wideW = Samples.Widen(weight);
        Assert.Equal<Shape>([1, rows, n], y.Shape);
        Assert.InRange(
            ErrorNorm.Relative(y.ToArray(), LinearReference.Forward(wideX, wideW, withBias ? Samples.Widen(bias) : null, rows, n, k)),
            0,
            3e-6);

        tape.Backward(y, tape.Own(Tensor.From(dy, [1, rows, n])));
        (double[] dx, double[] dweight, double[] dbias) = LinearReference.Backward(wideX, wideW, Samples.Widen(dy), rows, n, k);
        Assert.InRange(ErrorNorm.Relative(tape.Gradient(tx)!.ToArray(), dx), 0, 1e-5);
        Assert.InRange(ErrorNorm.Relative(tape.Gradient(tw)!.ToArray(), dweight), 0, 1e-5);
        if (tb is not null) Assert.InRange(ErrorNorm.Relative(tape.Gradient(tb)!.ToArray(), dbias), 0, 1e-5);
    }

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

    [Fact]
    public void A_parameter_gathers_gradients_until_it_is_cleared()
    {
        using var weight = new Parameter("weight", Tensor.From([1f, 2f], [1, 2]));
        for (int pass = 1; pass <= 2; pass++)
        {
            using var tape = new Tape();
            tape.Backward(Linear.Apply(tape, tape.Own(Tensor.From([3f, 5f], [1, 2])), weight));
            Assert.Equal([3f * pass, 5f * pass], weight.Gradient.ToArray());
        }
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

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Tensor.Zeros([2, 3])), weight = tape.Own(Tensor.Zeros([4, 5])), fitting = tape.Own(Tensor.Zeros([4, 3])), bias = tape.Own(Tensor.Zeros([3]));
        Assert.Equal(
            "Linear expects an input [..., 5] for the weight [4, 5], but got [2, 3].",
            Assert.Throws<OperandException>(() => Linear.Apply(tape, x, weight)).Message);
        Assert.Contains("an F32 bias [4]", Assert.Throws<OperandException>(() => Linear.Apply(tape, x, fitting, bias)).Message);
        Assert.Contains("[outputs, inputs]", Assert.Throws<OperandException>(() => Linear.Apply(tape, x, bias)).Message);
        Assert.Contains(
            "F32",
            Assert.Throws<OperandException>(() => Linear.Apply(tape, tape.Own(Tensor.Zeros([2, 3], DType.I32)), fitting)).Message);
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
