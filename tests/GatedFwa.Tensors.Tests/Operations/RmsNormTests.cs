using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class RmsNormTests() : RmsNormSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        (float[] x, float[] weight, float[] dy) = Case(3, 5);
        double[] wideX = Samples.Widen(x), wideWeight = Samples.Widen(weight), upstream = Samples.Widen(dy);
        double Loss() => RmsNormReference.Forward(wideX, wideWeight, Epsilon).Zip(upstream, (y, g) => y * g).Sum();
        (double[] dx, double[] dweight) = RmsNormReference.Backward(wideX, wideWeight, upstream, Epsilon);
        Assert.InRange(GradientCheck.WorstDeviation(wideX, Loss, dx), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(wideWeight, Loss, dweight), 0, 1e-7);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        (float[] x, float[] weight, float[] dy) = Case(517, 100);
        ThreadInvariance.Check(() => Run(x, weight, dy));
    }
}

public sealed class RmsNormCudaTests() : RmsNormSuite(TestBackend.CudaFloat32);

public sealed class RmsNormCudaBFloat16Tests() : RmsNormSuite(TestBackend.CudaBFloat16);

public sealed class RmsNormCudaFloat16Tests() : RmsNormSuite(TestBackend.CudaFloat16);

public abstract class RmsNormSuite(TestBackend backend) : TensorTest(backend)
{
    protected const float Epsilon = 1e-6f;

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 7)]
    [InlineData(65, 33)]
    [InlineData(700, 384)]
    [InlineData(5, 4_104)] // more than a warp keeps
    [InlineData(2, 60_000)] // more floats than fit shared memory
    public void Follows_the_reference_in_both_directions(int rows, int width)
    {
        (float[] x, float[] weight, float[] dy) = Case(rows, width);
        Differentiated result = Run(x, weight, dy);
        (double[] dx, double[] dweight) = RmsNormReference.Backward(Samples.Widen(x), Samples.Widen(weight), Samples.Widen(dy), Epsilon);
        ErrorNorm.Require(result.Y, RmsNormReference.Forward(Samples.Widen(x), Samples.Widen(weight), Epsilon), Backend.Forward(3e-6));
        // A row of one is ±weight whatever x is, but for ε: its gradient is rounding.
        if (width > 1) ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(1e-5));
        ErrorNorm.Require(result.Gradients[1], dweight, Backend.Gradient(1e-5));
    }

    [Fact]
    public void Gives_the_same_bits_again()
    {
        (float[] x, float[] weight, float[] dy) = Case(130, 72);
        Repeatability.Check(() => Run(x, weight, dy));
    }

    [Fact]
    public void A_row_of_zeros_gives_zeros_and_a_finite_gradient()
    {
        Differentiated result = Run(new float[8], Samples.Normal(8, 1), Samples.Normal(8, 2));
        Assert.Equal(new float[8], result.Y);
        Assert.All(result.Gradients[0], value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void Adds_to_a_gradient_that_another_use_of_x_left()
    {
        (float[] x, float[] weight, float[] dy) = Case(400, 48);
        Differentiated once = Run(x, weight, dy);
        Differentiated twice = Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) => Add.Apply(tape, inputs[0], RmsNorm.Apply(tape, inputs[0], inputs[1], Epsilon)),
            (x, [400, 48]),
            Operand.Parameter(weight, [48]));
        ErrorNorm.Require(twice.Gradients[0], Samples.Widen([.. once.Gradients[0].Zip(dy, (a, b) => a + b)]), Backend.Gradient(1e-6));
    }

    [Fact]
    public void Of_a_sum_it_is_the_norm_of_the_sum()
    {
        (float[] x, float[] weight, float[] dy) = Case(9, 40);
        float[] branch = Backend.Round(Samples.Normal(9 * 40, 4));
        // The sum is used once more, as by the next residual connection.
        Differentiated together = Run((tape, inputs) =>
        {
            Tensor y = RmsNorm.ApplyToSum(tape, inputs[0], inputs[1], inputs[2], out Tensor sum, Epsilon);
            return Add.Apply(tape, sum, y);
        });
        Differentiated apart = Run((tape, inputs) =>
        {
            Tensor sum = Add.Apply(tape, inputs[0], inputs[1]);
            return Add.Apply(tape, sum, RmsNorm.Apply(tape, sum, inputs[2], Epsilon));
        });
        Assert.Equal(apart.Y, together.Y);
        Assert.Equal(apart.Gradients, together.Gradients);

        Differentiated Run(Func<Tape, Tensor[], Tensor> apply) =>
            Differentiated.Run(Backend, dy, apply, (x, [9, 40]), (branch, [9, 40]), Operand.Parameter(weight, [40]));
    }

    [Fact]
    public void Refuses_a_weight_of_another_width()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[6], [2, 3])), weight = tape.Own(Backend.Parameter(new float[4], [4]));
        Assert.Equal(
            "RmsNorm expects a weight of shape [3] for x [2, 3], but got [4].",
            Assert.Throws<OperandException>(() => RmsNorm.Apply(tape, x, weight)).Message);
    }

    protected (float[] X, float[] Weight, float[] Dy) Case(int rows, int width) =>
        (Backend.Round(Samples.Normal(rows * width, 1, 3)), Samples.Normal(width, 2), Backend.Round(Samples.Normal(rows * width, 3)));

    protected Differentiated Run(float[] x, float[] weight, float[] dy) =>
        Differentiated.Run(
            Backend,
            Backend.Round(dy),
            (tape, inputs) => RmsNorm.Apply(tape, inputs[0], inputs[1], Epsilon),
            (x, [x.Length / weight.Length, weight.Length]),
            Operand.Parameter(weight, [weight.Length]));
}
