using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class ReduceTests() : ReduceSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        double[] x = Samples.Widen(Samples.Normal(13, 1));
        Assert.InRange(GradientCheck.WorstDeviation(x, () => 3 * ReduceReference.Sum(x), ReduceReference.SumBackward(x, 3)), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(x, () => 3 * ReduceReference.Mean(x), ReduceReference.MeanBackward(x, 3)), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        float[] x = Samples.Normal(200_001, 1);
        ThreadInvariance.Check(() => Run(Reduce.Mean, x));
    }
}

public sealed class ReduceCudaTests() : ReduceSuite(TestBackend.CudaFloat32);

public sealed class ReduceCudaBFloat16Tests() : ReduceSuite(TestBackend.CudaBFloat16);

public sealed class ReduceCudaFloat16Tests() : ReduceSuite(TestBackend.CudaFloat16);

public abstract class ReduceSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1)]
    [InlineData(23)]
    [InlineData(100_003)]
    public void Follows_the_reference_in_both_directions(int count)
    {
        float[] x = Backend.Round(Samples.Uniform(count, 1));
        double[] wide = Samples.Widen(x);
        Differentiated sum = Run(Reduce.Sum, x), mean = Run(Reduce.Mean, x);
        ErrorNorm.Require(sum.Y, [ReduceReference.Sum(wide)], 1e-7);
        ErrorNorm.Require(mean.Y, [ReduceReference.Mean(wide)], 1e-7);
        ErrorNorm.Require(sum.Gradients[0], ReduceReference.SumBackward(wide, 2), Backend.Gradient(1e-7));
        ErrorNorm.Require(mean.Gradients[0], ReduceReference.MeanBackward(wide, 2), Backend.Gradient(1e-7));
    }

    [Fact]
    public void Adds_to_a_gradient_that_another_use_of_x_left()
    {
        Differentiated twice = Differentiated.Run(
            Backend,
            [2f],
            (tape, inputs) => Add.Apply(tape, Reduce.Sum(tape, inputs[0]), Reduce.Mean(tape, inputs[0])),
            (new float[8], [8]));
        Assert.All(twice.Gradients[0], value => Assert.Equal(2.25f, value));
    }

    [Fact]
    public void A_million_small_terms_do_not_vanish_beside_a_large_one()
    {
        var x = new float[1_000_001];
        Array.Fill(x, 1f);
        x[0] = Backend.Activations == DType.F16 ? 2048 : 1e8f; // A narrow sum would stay there: 1 is below its half unit.
        x = Backend.Round(x);
        Assert.Equal([(float)(x[0] + 1e6)], Run(Reduce.Sum, x).Y);
    }

    [Fact]
    public void Refuses_the_mean_of_nothing()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation([], [0, 3]));
        Assert.Equal(
            "Mean expects at least one element, but got [0, 3].",
            Assert.Throws<OperandException>(() => Reduce.Mean(tape, x)).Message);
        Assert.Equal(0, Reduce.Sum(tape, x).Item());
    }

    protected Differentiated Run(Func<Tape, Tensor, Tensor> reduce, float[] x) =>
        Differentiated.Run(Backend, [2f], (tape, inputs) => reduce(tape, inputs[0]), (x, [x.Length]));
}
