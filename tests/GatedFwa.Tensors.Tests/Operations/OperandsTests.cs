using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class OperandsTests : TensorTest
{
    [Theory]
    [InlineData(DType.BF16, "bfloat16")]
    [InlineData(DType.F16, "float16")]
    public void Activations_on_the_CPU_are_F32(DType type, string name)
    {
        using Tensor x = Tensor.Zeros([2, 3], type);
        Assert.Equal(
            $"Test expects tensors of F32, but got {type} [2, 3] on the CPU ({name} runs on GPUs; use F32 on the CPU).",
            Assert.Throws<OperandException>(() => Operands.RequireActivations("Test", x)).Message);
    }

    [Fact]
    public void Integers_are_no_activations()
    {
        using Tensor x = Tensor.Zeros([2], DType.I32);
        Assert.Equal(
            "Test expects tensors of F32, but got I32 [2].",
            Assert.Throws<OperandException>(() => Operands.RequireActivations("Test", x)).Message);
        Assert.Equal(
            "Test expects tensors of F32, but got I32 [2].",
            Assert.Throws<OperandException>(() => Operands.RequireFloats("Test", x)).Message);
    }

    [Fact]
    public void Absent_tensors_pass()
    {
        Operands.RequireActivations("Test", null, null);
        Operands.RequireFloats("Test", [null]);
    }
}

public sealed class OperandsCudaTests() : TensorTest(TestBackend.CudaBFloat16)
{
    [Fact]
    public void Activations_have_one_type_and_everything_one_device()
    {
        using var tape = new Tape();
        Tensor narrow = tape.Own(Backend.Activation(new float[2], [2])), wide = tape.Own(Backend.Parameter(new float[2], [2]));
        Tensor host = tape.Own(Tensor.Zeros([2]));
        Assert.Equal(
            "Add expects activations of one type, BF16, but got F32 [2].",
            Assert.Throws<OperandException>(() => Add.Apply(tape, narrow, wide)).Message);
        Assert.Equal(
            "Add expects tensors on one device, cuda:0 as of F32 [2], but got F32 [2] on cpu.",
            Assert.Throws<OperandException>(() => Add.Apply(tape, wide, host)).Message);
        Assert.Throws<OperandException>(() => RmsNorm.Apply(tape, narrow, host));
        Assert.Throws<OperandException>(() => RmsNorm.Apply(tape, narrow, narrow));
    }
}
