using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class RmsNormRotaryTests() : RmsNormRotarySuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        Shape shape = [2, 3, 2, 4];
        (float[] x, float[] weight, float[] dy) = Case(shape);
        double[] wideX = Samples.Widen(x), wideWeight = Samples.Widen(weight), upstream = Samples.Widen(dy);
        double Loss() => RmsNormRotaryReference.Forward(wideX, wideWeight, shape, Epsilon, 5, Base).Zip(upstream, (y, g) => y * g).Sum();
        (double[] dx, double[] dweight) = RmsNormRotaryReference.Backward(wideX, wideWeight, upstream, shape, Epsilon, 5, Base);
        Assert.InRange(GradientCheck.WorstDeviation(wideX, Loss, dx), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(wideWeight, Loss, dweight), 0, 1e-7);
    }
}

public sealed class RmsNormRotaryCudaTests() : RmsNormRotarySuite(TestBackend.CudaFloat32);

public sealed class RmsNormRotaryCudaBFloat16Tests() : RmsNormRotarySuite(TestBackend.CudaBFloat16);

public sealed class RmsNormRotaryCudaFloat16Tests() : RmsNormRotarySuite(TestBackend.CudaFloat16);

public abstract class RmsNormRotarySuite(TestBackend backend) : TensorTest(backend)
{
    protected const float Epsilon = 1e-6f, Base = 10_000;

    [Theory]
    [InlineData(1, 1, 1, 2, 0)]
    [InlineData(2, 9, 3, 64, 0)]
    [InlineData(1, 20, 12, 64, 1000)]
    [InlineData(2, 5, 2, 128, 3)]
    [InlineData(1, 7, 3, 16, 1_000_000)]
    [InlineData(1, 7, 3, 40, 7)] // halves that a warp cannot exchange: two passes
    [InlineData(1, 3, 17, 128, 7)] // a row of several warps
    public void Follows_the_reference_in_both_directions(int batch, int tokens, int heads, int size, long firstPosition)
    {
        Shape shape = [batch, tokens, heads, size];
        (float[] x, float[] weight, float[] dy) = Case(shape);
        Differentiated result = Run(x, weight, dy, shape, firstPosition);
        double[] wideX = Samples.Widen(x), wideWeight = Samples.Widen(weight);
        (double[] dx, double[] dweight) =
            RmsNormRotaryReference.Backward(wideX, wideWeight, Samples.Widen(dy), shape, Epsilon, firstPosition, Base);
        ErrorNorm.Require(
            result.Y,
            RmsNormRotaryReference.Forward(wideX, wideWeight, shape, Epsilon, firstPosition, Base),
            Backend.Forward(3e-6));
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(1e-5));
        ErrorNorm.Require(result.Gradients[1], dweight, Backend.Gradient(1e-5));
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(5, 40)]
    public void Each_row_of_a_batch_can_be_at_a_position_of_its_own(int tokens, int size)
    {
        const int Heads = 2;
        long[] positions = [7, 0, 1_000_000];
        Shape shape = [positions.Length, tokens, Heads, size];
        (float[] x, float[] weight, _) = Case(shape);
        using var tape = new Tape(recording: false);
        Tensor scale = tape.Own(Backend.Parameter(weight, [Heads * size])), all = tape.Own(Backend.Activation(x, shape));
        float[][] rows = [.. RmsNormRotary.Apply(tape, all, scale, Epsilon, positions, Base).ToArray().Chunk(tokens * Heads * size)];
        for (int row = 0; row < positions.Length; row++)
        {
            Tensor alone = tape.Own(Backend.Activation(x.AsSpan(row * rows[row].Length, rows[row].Length), [1, tokens, Heads, size]));
            Assert.Equal(RmsNormRotary.Apply(tape, alone, scale, Epsilon, positions[row], Base).ToArray(), rows[row]);
        }
    }

    [Fact]
    public void Adds_to_a_gradient_that_another_use_of_x_left()
    {
        Shape shape = [1, 5, 2, 32];
        (float[] x, float[] weight, float[] dy) = Case(shape);
        Differentiated twice = Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) => Add.Apply(tape, inputs[0], RmsNormRotary.Apply(tape, inputs[0], inputs[1], Epsilon, 3, Base)),
            (x, shape),
            Operand.Parameter(weight, [64]));
        (double[] dx, _) = RmsNormRotaryReference.Backward(
            Samples.Widen(x), Samples.Widen(weight), Samples.Widen(dy), shape, Epsilon, 3, Base);
        ErrorNorm.Require(twice.Gradients[0], [.. dx.Zip(dy, (a, b) => a + b)], Backend.Gradient(1e-5));
    }

    [Fact]
    public void Refuses_an_odd_head_and_a_weight_of_another_width()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[12], [1, 1, 2, 6])), weight = tape.Own(Backend.Parameter(new float[6], [6]));
        Assert.Equal(
            "RmsNormRotary expects a weight of shape [12] for x [1, 1, 2, 6], but got [6].",
            Assert.Throws<OperandException>(() => RmsNormRotary.Apply(tape, x, weight)).Message);
        Assert.Throws<OperandException>(() => RmsNormRotary.Apply(tape, tape.View(x, [1, 1, 4, 3]), weight));
        Assert.Throws<OperandException>(() => RmsNormRotary.Apply(tape, tape.View(x, [1, 2, 1, 6]), weight, firstPosition: -1));
    }

    protected (float[] X, float[] Weight, float[] Dy) Case(Shape shape) =>
        (Backend.Round(Samples.Normal(shape.Count, 1)),
            Samples.Normal(shape[2] * shape[3], 2),
            Backend.Round(Samples.Normal(shape.Count, 3)));

    private Differentiated Run(float[] x, float[] weight, float[] dy, Shape shape, long firstPosition) =>
        Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) => RmsNormRotary.Apply(tape, inputs[0], inputs[1], Epsilon, firstPosition, Base),
            (x, shape),
            Operand.Parameter(weight, [shape[2] * shape[3]]));
}
