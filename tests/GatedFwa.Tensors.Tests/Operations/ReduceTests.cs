using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class ReduceTests : TensorTest
{
    [Theory]
    [InlineData(1)]
    [InlineData(23)]
    [InlineData(100_003)]
    public void Follows_the_reference_in_both_directions(int count)
    {
        float[] x = Samples.Uniform(count, 1);
        double[] wide = Samples.Widen(x);
        Differentiated sum = Run(Reduce.Sum, x), mean = Run(Reduce.Mean, x);
        ErrorNorm.Require(sum.Y, [ReduceReference.Sum(wide)], 1e-7);
        ErrorNorm.Require(mean.Y, [ReduceReference.Mean(wide)], 1e-7);
        ErrorNorm.Require(sum.Gradients[0], ReduceReference.SumBackward(wide, 2), 1e-7);
        ErrorNorm.Require(mean.Gradients[0], ReduceReference.MeanBackward(wide, 2), 1e-7);
    }

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

    [Fact]
    public void A_million_small_terms_do_not_vanish_beside_a_large_one()
    {
        var x = new float[1_000_001];
        Array.Fill(x, 1f);
        x[0] = 1e8f; // A float sum would stay at 1e8: 1 is below its half unit.
        Assert.Equal([1.01e8f], Run(Reduce.Sum, x).Y);
    }

    [Fact]
    public void Refuses_the_mean_of_nothing()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Tensor.Zeros([0, 3]));
        Assert.Equal(
            "Mean expects at least one element, but got [0, 3].",
            Assert.Throws<OperandException>(() => Reduce.Mean(tape, x)).Message);
        Assert.Equal(0, Reduce.Sum(tape, x).Item());
    }

    private static Differentiated Run(Func<Tape, Tensor, Tensor> reduce, float[] x) =>
        Differentiated.Run([2f], (tape, inputs) => reduce(tape, inputs[0]), (x, [x.Length]));
}
