using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class SwiGluTests() : SwiGluSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        (float[] gate, float[] value, float[] dy) = Case(11, 3);
        double[] wideGate = Samples.Widen(gate), wideValue = Samples.Widen(value), upstream = Samples.Widen(dy);
        double Loss() => SwiGluReference.Forward(wideGate, wideValue).Zip(upstream, (y, g) => y * g).Sum();
        (double[] dgate, double[] dvalue) = SwiGluReference.Backward(wideGate, wideValue, upstream);
        Assert.InRange(GradientCheck.WorstDeviation(wideGate, Loss, dgate), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(wideValue, Loss, dvalue), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        (float[] gate, float[] value, float[] dy) = Case(70_001, 2);
        ThreadInvariance.Check(() => Run(gate, value, dy));
    }
}

public sealed class SwiGluCudaTests() : SwiGluSuite(TestBackend.CudaFloat32);

public sealed class SwiGluCudaBFloat16Tests() : SwiGluSuite(TestBackend.CudaBFloat16);

public sealed class SwiGluCudaFloat16Tests() : SwiGluSuite(TestBackend.CudaFloat16);

public abstract class SwiGluSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(19, 4)]
    [InlineData(50_003, 4)]
    [InlineData(1000, 60)] // saturated sigmoids
    public void Follows_the_reference_in_both_directions(int count, float scale)
    {
        (float[] gate, float[] value, float[] dy) = Case(count, scale);
        Differentiated result = Run(gate, value, dy);
        (double[] dgate, double[] dvalue) = SwiGluReference.Backward(Samples.Widen(gate), Samples.Widen(value), Samples.Widen(dy));
        ErrorNorm.Require(result.Y, SwiGluReference.Forward(Samples.Widen(gate), Samples.Widen(value)), Backend.Forward(1e-6));
        ErrorNorm.Require(result.Gradients[0], dgate, Backend.Gradient(1e-6));
        ErrorNorm.Require(result.Gradients[1], dvalue, Backend.Gradient(1e-6));
    }

    [Fact]
    public void A_tensor_that_gates_itself_gets_both_gradients()
    {
        float[] x = Backend.Round(Samples.Normal(37, 1)), dy = Backend.Round(Samples.Normal(37, 2));
        Differentiated result = Differentiated.Run(Backend, dy, (tape, inputs) => SwiGlu.Apply(tape, inputs[0], inputs[0]), (x, [37]));
        (double[] dgate, double[] dvalue) = SwiGluReference.Backward(Samples.Widen(x), Samples.Widen(x), Samples.Widen(dy));
        ErrorNorm.Require(result.Gradients[0], [.. dgate.Zip(dvalue, (a, b) => a + b)], Backend.Gradient(1e-6));
    }

    [Fact]
    public void Refuses_different_shapes()
    {
        using var tape = new Tape();
        Tensor gate = tape.Own(Backend.Activation(new float[6], [2, 3])), value = tape.Own(Backend.Activation(new float[6], [3, 2]));
        Assert.Equal(
            "SwiGlu expects a value of the gate's shape, [2, 3], but got [3, 2].",
            Assert.Throws<OperandException>(() => SwiGlu.Apply(tape, gate, value)).Message);
    }

    protected (float[] Gate, float[] Value, float[] Dy) Case(int count, float scale) =>
        (Backend.Round(Samples.Normal(count, 1, scale)), Backend.Round(Samples.Normal(count, 2)), Backend.Round(Samples.Normal(count, 3)));

    protected Differentiated Run(float[] gate, float[] value, float[] dy) =>
        Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) => SwiGlu.Apply(tape, inputs[0], inputs[1]),
            (gate, [gate.Length]),
            (value, [value.Length]));
}
