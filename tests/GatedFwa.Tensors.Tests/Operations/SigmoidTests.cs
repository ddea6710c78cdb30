using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class SigmoidTests() : SigmoidSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        var run = new ColumnRun(4, 7, 2, 3);
        double[] x = Samples.Widen(Samples.Normal(28, 1, 3)), dy = Samples.Widen(Samples.Normal(12, 2));
        double Loss() => SigmoidReference.Forward(x, run).Zip(dy, (y, g) => y * g).Sum();
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, SigmoidReference.Backward(x, dy, run)), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        float[] x = Samples.Normal(9000 * 12, 1), dy = Samples.Normal(9000 * 5, 2);
        ThreadInvariance.Check(() => Differentiated.Run(dy, (tape, inputs) => Sigmoid.Apply(tape, inputs[0], 4, 5), (x, [9000, 12])));
    }
}

public sealed class SigmoidCudaTests() : SigmoidSuite(TestBackend.CudaFloat32);

public abstract class SigmoidSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, 1, 0, 1, 1)]
    [InlineData(7, 12, 4, 4, 3)]
    [InlineData(50, 57, 38, 19, 3)]
    [InlineData(300, 33, 0, 33, 60)] // saturated
    public void Follows_the_reference_in_both_directions(int rows, int width, int first, int count, float scale)
    {
        var run = new ColumnRun(rows, width, first, count);
        float[] x = Samples.Normal(rows * width, 1, scale), dy = Samples.Normal(rows * count, 2);
        Differentiated result = Differentiated.Run(
            Backend, dy, (tape, inputs) => Sigmoid.Apply(tape, inputs[0], first, count), Operand.Parameter(x, [rows, width]));
        ErrorNorm.Require(result.Y, SigmoidReference.Forward(Samples.Widen(x), run), 1e-6);
        ErrorNorm.Require(result.Gradients[0], SigmoidReference.Backward(Samples.Widen(x), Samples.Widen(dy), run), 1e-6);
    }

    [Fact]
    public void Runs_of_columns_share_a_gradient()
    {
        float[] x = Samples.Normal(5 * 9, 1), dy = Samples.Normal(5 * 3, 2);
        Differentiated apart = Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) => Add.Apply(tape, Sigmoid.Apply(tape, inputs[0], 0, 3), Sigmoid.Apply(tape, inputs[0], 6)),
            Operand.Parameter(x, [5, 9]));
        double[] wide = Samples.Widen(x), upstream = Samples.Widen(dy);
        double[] Gradient(int first) => SigmoidReference.Backward(wide, upstream, new(5, 9, first, 3));
        ErrorNorm.Require(apart.Gradients[0], [.. Gradient(0).Zip(Gradient(6), (a, b) => a + b)], 1e-6);
    }

    [Theory]
    [InlineData(2, 2)]
    [InlineData(-1, 2)]
    [InlineData(0, 0)]
    public void Refuses_columns_that_are_not_there(int first, int count)
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Parameter(new float[6], [2, 3]));
        Assert.Equal(
            $"Sigmoid expects at least one of the 3 columns, but got {count} from column {first} on.",
            Assert.Throws<OperandException>(() => Sigmoid.Apply(tape, x, first, count)).Message);
    }
}
