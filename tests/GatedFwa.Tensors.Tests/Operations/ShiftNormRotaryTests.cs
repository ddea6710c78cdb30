using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class ShiftNormRotaryTests() : ShiftNormRotarySuite(TestBackend.Cpu)
{
    [Theory]
    [InlineData("dense")]
    [InlineData("packed")]
    [InlineData("padded")]
    [InlineData("continued")]
    public void The_reference_gradient_is_the_derivative(string kind)
    {
        Case c = Case.Of(Backend, kind == "packed" ? [1, 12, 2, 4] : [3, 4, 2, 4], kind);
        double[] x = Samples.Widen(c.X), mix = Samples.Widen(c.Mix), weight = Samples.Widen(c.Weight), dy = Samples.Widen(c.Dy);
        double Loss() => c.Forward(x, mix, weight).Zip(dy, (y, g) => y * g).Sum();
        (double[] dx, double[] dmix, double[] dweight) = c.Backward(x, mix, weight, dy);
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, dx, samples: 100), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(mix, Loss, dmix, samples: 100), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(weight, Loss, dweight), 0, 1e-7);
    }

    [Fact]
    public void Is_bit_for_bit_the_shift_and_then_the_norm_and_the_rotation()
    {
        Case c = Case.Of(Backend, [2, 40, 3, 16], "dense");
        Differentiated apart = Differentiated.Run(
            Backend,
            c.Dy,
            (tape, inputs) => RmsNormRotary.Apply(
                tape, TokenShift.Apply(tape, inputs[0], inputs[1]), inputs[2], Epsilon, FirstPosition, FrequencyBase),
            (c.X, c.Shape),
            (c.Mix, [2, 40, 3]),
            Operand.Parameter(c.Weight, [48]));
        Differentiated together = c.Run();
        Assert.Equal(apart.Y, together.Y);
        Assert.Equal(apart.Gradients, together.Gradients);
    }
}

public sealed class ShiftNormRotaryCudaTests() : ShiftNormRotarySuite(TestBackend.CudaFloat32);

public sealed class ShiftNormRotaryCudaBFloat16Tests() : ShiftNormRotarySuite(TestBackend.CudaBFloat16);

public sealed class ShiftNormRotaryCudaFloat16Tests() : ShiftNormRotarySuite(TestBackend.CudaFloat16);

public abstract class ShiftNormRotarySuite(TestBackend backend) : TensorTest(backend)
{
    protected const float Epsilon = 1e-6f, FrequencyBase = 10_000;
    protected const long FirstPosition = 5;

    public static TheoryData<int[], string> Cases => new()
    {
        { [1, 1, 2, 16], "dense" },
        { [2, 9, 3, 16], "dense" }, // lanes without a pack
        { [2, 61, 12, 64], "dense" },
        { [1, 30, 3, 40], "dense" }, // halves that a warp cannot exchange: one operation after the other
        { [2, 5, 3, 2], "dense" },   // no pack of 16 bytes
        { [2, 23, 9, 128], "dense" }, // a row of several warps
        { [1, 900, 9, 128], "dense" }, // and longer walks than gates are made at once for
        { [1, 700, 40, 16], "dense" }, // more packs a thread than lanes a head
        { [1, 5_000, 1, 16], "dense" }, // walks of several tokens
        { [1, 6_000, 2, 16], "packed" },
        { [3, 1_701, 2, 32], "padded" },
        { [3, 21, 2, 64], "padded" },
        { [2, 7, 3, 32], "continued" },
        { [2, 2_500, 1, 16], "continued" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Follows_the_reference_in_both_directions(int[] extents, string kind)
    {
        Case c = Case.Of(Backend, extents, kind);
        Differentiated result = c.Run();
        double[] x = Samples.Widen(c.X), mix = Samples.Widen(c.Mix), weight = Samples.Widen(c.Weight);
        (double[] dx, double[] dmix, double[] dweight) = c.Backward(x, mix, weight, Samples.Widen(c.Dy));
        ErrorNorm.Require(result.Y, c.Forward(x, mix, weight), Backend.Forward(3e-6));
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(1e-5));
        ErrorNorm.Require(result.Gradients[1], dmix, Backend.Gradient(1e-5));
        ErrorNorm.Require(result.Gradients[2], dweight, Backend.Gradient(1e-5));
    }

    [Theory]
    [InlineData("dense")]
    [InlineData("padded")]
    public void Adds_to_gradients_that_another_use_left(string kind)
    {
        Case c = Case.Of(Backend, [3, 8, 2, 32], kind);
        Differentiated once = c.Run();
        Differentiated twice = Differentiated.Run(
            Backend,
            c.Dy,
            (tape, inputs) => Add.Apply(tape, c.Apply(tape, inputs), c.Apply(tape, inputs)),
            (c.X, c.Shape),
            (c.Mix, [3, 8, 2]),
            Operand.Parameter(c.Weight, [64]));
        for (int i = 0; i < 3; i++)
            ErrorNorm.Require(twice.Gradients[i], [.. once.Gradients[i].Select(value => 2.0 * value)], Backend.Gradient(1e-6));
    }

    [Fact]
    public void Padding_gives_zero_and_takes_no_gradient()
    {
        Case c = Case.Of(Backend, [3, 21, 2, 32], "padded");
        Differentiated result = c.Run();
        int padding = c.Segments[1].Start * 64, row = 21 * 64;
        Assert.True(padding > 0);
        Assert.All(result.Y.Skip(row).Take(padding), value => Assert.Equal(0, value));
        Assert.All(result.Gradients[0].Skip(row).Take(padding), value => Assert.Equal(0, value));
        Assert.All(result.Gradients[1].Skip(row / 32).Take(padding / 32), value => Assert.Equal(0, value));
    }

    [Theory]
    [InlineData(5, 64)]
    [InlineData(5, 40)]
    public void Each_row_of_a_batch_can_be_at_a_position_of_its_own(int tokens, int size)
    {
        long[] positions = [7, 0, 1_000_000];
        Case c = Case.Of(Backend, [positions.Length, tokens, 2, size], "dense");
        using var tape = new Tape(recording: false);
        Tensor weight = tape.Own(Backend.Parameter(c.Weight, [2 * size]));
        float[] all = ShiftNormRotary.Apply(
            tape, Activation(0..3, size), Activation(0..3, 1), weight, Epsilon, positions, FrequencyBase, null, null).ToArray();
        for (int row = 0; row < positions.Length; row++)
        {
            Tensor alone = ShiftNormRotary.Apply(
                tape, Activation(row..(row + 1), size), Activation(row..(row + 1), 1), weight, Epsilon, positions[row], FrequencyBase);
            Assert.Equal(alone.ToArray(), all.AsSpan(row * tokens * 2 * size, tokens * 2 * size).ToArray());
        }

        Tensor Activation(Range rows, int each)
        {
            int from = rows.Start.Value, count = rows.End.Value - from, row = tokens * 2 * each;
            Shape shape = each == 1 ? [count, tokens, 2] : [count, tokens, 2, each];
            return tape.Own(Backend.Activation((each == 1 ? c.Mix : c.X).AsSpan(from * row, count * row), shape));
        }
    }

    [Fact]
    public void Refuses_what_one_of_its_parts_refuses()
    {
        using var tape = new Tape();
        Tensor x = Zeros([1, 4, 2, 6]), mix = Zeros([1, 4, 2]), weight = tape.Own(Backend.Parameter(new float[12], [12]));
        Assert.Equal(
            "ShiftNormRotary expects a mix of shape [1, 4, 2] for x [1, 4, 2, 6], but got [4, 2].",
            Assert.Throws<OperandException>(() => ShiftNormRotary.Apply(tape, x, tape.View(mix, [4, 2]), weight)).Message);
        Assert.Equal(
            "ShiftNormRotary expects a weight of shape [12] for x [1, 4, 2, 6], but got [2, 6].",
            Assert.Throws<OperandException>(() => ShiftNormRotary.Apply(tape, x, mix, tape.View(weight, [2, 6]))).Message);
        Assert.Throws<OperandException>(() => ShiftNormRotary.Apply(tape, tape.View(x, [1, 4, 4, 3]), Zeros([1, 4, 4]), weight));
        Assert.Throws<OperandException>(() => ShiftNormRotary.Apply(tape, x, mix, weight, firstPosition: -1));

        Tensor Zeros(Shape shape) => tape.Own(Backend.Activation(new float[shape.Count], shape));
    }

    protected sealed record Case(ShiftOperands Operands, float[] Weight, float[] Dy) : ShiftOperands(Operands)
    {
        public static new Case Of(TestBackend backend, int[] extents, string kind)
        {
            ShiftOperands operands = ShiftOperands.Of(backend, extents, kind);
            Shape shape = operands.Shape;
            return new(operands, Samples.Normal(shape[2] * shape[3], 3), backend.Round(Samples.Normal(shape.Count, 4)));
        }

        public double[] Forward(double[] x, double[] mix, double[] weight) => ShiftNormRotaryReference.Forward(
            x, mix, weight, Shape, Segments, WidePrevious, Epsilon, FirstPosition, FrequencyBase);

        public (double[] Dx, double[] Dmix, double[] Dweight) Backward(double[] x, double[] mix, double[] weight, double[] dy) =>
            ShiftNormRotaryReference.Backward(
                x, mix, weight, dy, Shape, Segments, WidePrevious, Epsilon, FirstPosition, FrequencyBase);

        public Tensor Apply(Tape tape, Tensor[] inputs) => ShiftNormRotary.Apply(
            tape, inputs[0], inputs[1], inputs[2], Epsilon, FirstPosition, FrequencyBase, Layout, PreviousOn(tape));

        public Differentiated Run() => Differentiated.Run(
            Backend, Dy, Apply, (X, Shape), (Mix, [Shape[0], Shape[1], Shape[2]]), Operand.Parameter(Weight, [Shape[2] * Shape[3]]));
    }
}
