using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class DropoutTests() : DropoutSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        double[] x = Samples.Widen(Samples.Normal(20, 1)), dy = Samples.Widen(Samples.Normal(20, 2));
        double Loss() => DropoutReference.Forward(x, 0.3f, Random).Zip(dy, (y, g) => y * g).Sum();
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, DropoutReference.Forward(dy, 0.3f, Random)), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        float[] x = Samples.Normal(70_001, 1), dy = Samples.Normal(70_001, 2);
        ThreadInvariance.Check(() => Run(x, dy, 0.2f));
    }
}

public sealed class DropoutCudaTests() : DropoutSuite(TestBackend.CudaFloat32);

public sealed class DropoutCudaBFloat16Tests() : DropoutSuite(TestBackend.CudaBFloat16);

public sealed class DropoutCudaFloat16Tests() : DropoutSuite(TestBackend.CudaFloat16);

public abstract class DropoutSuite(TestBackend backend) : TensorTest(backend)
{
    protected static readonly CounterRandom Random = new(42);

    [Theory]
    [InlineData(1, 0.01f)]
    [InlineData(21, 0.5f)]
    [InlineData(40_001, 0.1f)]
    public void Follows_the_reference_in_both_directions(int count, float probability)
    {
        float[] x = Backend.Round(Samples.Normal(count, 1)), dy = Backend.Round(Samples.Normal(count, 2));
        Differentiated result = Run(x, dy, probability);
        ErrorNorm.Require(result.Y, DropoutReference.Forward(Samples.Widen(x), probability, Random), Backend.Forward(1e-6));
        ErrorNorm.Require(result.Gradients[0], DropoutReference.Forward(Samples.Widen(dy), probability, Random), Backend.Gradient(1e-6));
    }

    [Fact]
    public void Drops_the_asked_share_and_keeps_the_mean()
    {
        var ones = new float[200_000];
        Array.Fill(ones, 1);
        float[] y = Run(ones, ones, 0.25f).Y;
        // Four standard deviations of a share of 200,000 draws: 0.004.
        Assert.InRange(y.Count(value => value == 0) / 200_000.0, 0.246, 0.254);
        Assert.InRange(y.Average(), 0.994, 1.006);
    }

    [Fact]
    public void Adds_to_a_gradient_that_another_use_of_x_left()
    {
        float[] x = Backend.Round(Samples.Normal(37, 1)), dy = Backend.Round(Samples.Normal(37, 2));
        Differentiated twice = Differentiated.Run(
            Backend, dy, (tape, inputs) => Add.Apply(tape, inputs[0], Dropout.Apply(tape, inputs[0], 0.5f, Random)), (x, [37]));
        double[] kept = DropoutReference.Forward(Samples.Widen(dy), 0.5f, Random);
        ErrorNorm.Require(twice.Gradients[0], [.. kept.Zip(dy, (a, b) => a + b)], Backend.Gradient(1e-6));
    }

    [Fact]
    public void Another_stream_drops_other_elements()
    {
        var ones = new float[1000];
        Array.Fill(ones, 1);
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(ones, [1000]));
        Assert.NotEqual(Dropout.Apply(tape, x, 0.5f, Random.Split(1)).ToArray(), Dropout.Apply(tape, x, 0.5f, Random.Split(2)).ToArray());
    }

    [Fact]
    public void Returns_its_input_where_nothing_is_dropped()
    {
        using Tape training = new(), inference = new(recording: false);
        using Tensor x = Backend.Activation(new float[3], [3]);
        Assert.Same(x, Dropout.Apply(training, x, 0, Random));
        Assert.Same(x, Dropout.Apply(inference, x, 0.5f, Random));
    }

    [Theory]
    [InlineData(-0.1f)]
    [InlineData(1f)]
    [InlineData(float.NaN)]
    public void Refuses_a_probability_out_of_range(float probability)
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[3], [3]));
        Assert.Equal(
            $"Dropout expects a probability in [0, 1), but got {probability}.",
            Assert.Throws<OperandException>(() => Dropout.Apply(tape, x, probability, Random)).Message);
    }

    protected Differentiated Run(float[] x, float[] dy, float probability) =>
        Differentiated.Run(Backend, dy, (tape, inputs) => Dropout.Apply(tape, inputs[0], probability, Random), (x, [x.Length]));

    [Fact]
    public void Drops_the_same_elements_on_every_device()
    {
        float[] x = Backend.Round(Samples.Uniform(1003, 1, 1, 2));
        using var tape = new Tape();
        float[] here = Dropout.Apply(tape, tape.Own(Backend.Activation(x, [1003])), 0.3f, Random).ToArray();
        float[] onCpu = Dropout.Apply(tape, tape.Own(Tensor.From(x, [1003])), 0.3f, Random).ToArray();
        Assert.Equal(onCpu.Select(value => value == 0), here.Select(value => value == 0));
    }
}
