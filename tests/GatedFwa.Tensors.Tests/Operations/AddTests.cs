using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class AddTests() : AddSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        double[] a = Samples.Widen(Samples.Normal(9, 1)), b = Samples.Widen(Samples.Normal(9, 2)), dy = Samples.Widen(Samples.Normal(9, 3));
        double Loss() => AddReference.Forward(a, b).Zip(dy, (y, g) => y * g).Sum();
        (double[] da, double[] db) = AddReference.Backward(dy);
        Assert.InRange(GradientCheck.WorstDeviation(a, Loss, da), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(b, Loss, db), 0, 1e-8);
    }
}

public sealed class AddCudaTests() : AddSuite(TestBackend.CudaFloat32);

public sealed class AddCudaBFloat16Tests() : AddSuite(TestBackend.CudaBFloat16);

public sealed class AddCudaFloat16Tests() : AddSuite(TestBackend.CudaFloat16);

public abstract class AddSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1)]
    [InlineData(17)]
    [InlineData(100_003)]
    public void Follows_the_reference_in_both_directions(int count)
    {
        float[] a = Backend.Round(Samples.Normal(count, 1)), b = Backend.Round(Samples.Normal(count, 2));
        float[] dy = Backend.Round(Samples.Normal(count, 3));
        using var tape = new Tape();
        Tensor ta = tape.Watch(tape.Own(Backend.Activation(a, [count]))), tb = tape.Watch(tape.Own(Backend.Activation(b, [count])));
        Tensor y = Add.Apply(tape, ta, tb);
        Assert.InRange(ErrorNorm.Relative(y.ToArray(), AddReference.Forward(Samples.Widen(a), Samples.Widen(b))), 0, Backend.Forward(1e-7));

        tape.Backward(y, tape.Own(Backend.Activation(dy, [count])));
        (double[] da, double[] db) = AddReference.Backward(Samples.Widen(dy));
        Assert.Equal(0, ErrorNorm.Relative(tape.Gradient(ta)!.ToArray(), da));
        Assert.Equal(0, ErrorNorm.Relative(tape.Gradient(tb)!.ToArray(), db));
    }

    [Fact]
    public void Adding_a_tensor_to_itself_doubles_its_gradient()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation([1f, 2f], [2])));
        Tensor y = Add.Apply(tape, x, x);
        tape.Backward(y);
        Assert.Equal([2f, 2f], tape.Gradient(x)!.ToArray());
    }

    [Fact]
    public void Refuses_different_shapes()
    {
        using var tape = new Tape();
        Tensor a = tape.Own(Backend.Activation(new float[6], [2, 3])), b = tape.Own(Backend.Activation(new float[6], [3, 2]));
        Assert.Equal(
            "Add expects two tensors of one shape, [2, 3], but got [3, 2].",
            Assert.Throws<OperandException>(() => Add.Apply(tape, a, b)).Message);
    }
}
