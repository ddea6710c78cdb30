using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class TokenShiftTests() : TokenShiftSuite(TestBackend.Cpu)
{
    [Theory]
    [InlineData("dense")]
    [InlineData("packed")]
    [InlineData("padded")]
    [InlineData("continued")]
    public void The_reference_gradient_is_the_derivative(string kind)
    {
        Case c = Case.Of(Backend, kind == "packed" ? [1, 12, 2, 3] : [3, 4, 2, 3], kind);
        double[] x = Samples.Widen(c.X), mix = Samples.Widen(c.Mix), dy = Samples.Widen(c.Dy);
        Segment[] segments = c.Segments;
        double Loss() => TokenShiftReference.Forward(x, mix, c.Shape, segments, c.WidePrevious).Zip(dy, (y, g) => y * g).Sum();
        (double[] dx, double[] dmix) = TokenShiftReference.Backward(x, mix, dy, c.Shape, segments, c.WidePrevious);
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, dx, samples: 100), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(mix, Loss, dmix, samples: 100), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        Case c = Case.Of(Backend, [2, 500, 3, 40], "dense");
        ThreadInvariance.Check(c.Run);
    }
}

public sealed class TokenShiftCudaTests() : TokenShiftSuite(TestBackend.CudaFloat32);

public sealed class TokenShiftCudaBFloat16Tests() : TokenShiftSuite(TestBackend.CudaBFloat16);

public sealed class TokenShiftCudaFloat16Tests() : TokenShiftSuite(TestBackend.CudaFloat16);

public abstract class TokenShiftSuite(TestBackend backend) : TensorTest(backend)
{
    public static TheoryData<int[], string> Cases => new()
    {
        { [1, 1, 1, 8], "dense" },
        { [2, 9, 3, 8], "dense" },
        { [1, 300, 5, 40], "dense" },
        { [2, 200, 2, 64], "dense" },
        { [1, 60, 2, 16], "packed" },
        { [3, 21, 2, 24], "padded" },
        { [2, 7, 3, 8], "continued" },
        { [1, 2_000, 2, 16], "packed" }, // walks of several tokens
        { [3, 801, 1, 32], "padded" },
        { [2, 1_500, 1, 16], "dense" },
        { [1, 700, 40, 16], "dense" }, // more packs a thread than lanes a head
        { [2, 901, 1, 16], "continued" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Follows_the_reference_in_both_directions(int[] extents, string kind)
    {
        Case c = Case.Of(Backend, extents, kind);
        Differentiated result = c.Run();
        Segment[] segments = c.Segments;
        (double[] dx, double[] dmix) = TokenShiftReference.Backward(
            Samples.Widen(c.X), Samples.Widen(c.Mix), Samples.Widen(c.Dy), c.Shape, segments, c.WidePrevious);
        ErrorNorm.Require(
            result.Y,
            TokenShiftReference.Forward(Samples.Widen(c.X), Samples.Widen(c.Mix), c.Shape, segments, c.WidePrevious),
            Backend.Forward(1e-6));
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(1e-6));
        ErrorNorm.Require(result.Gradients[1], dmix, Backend.Gradient(2e-6));
    }

    [Theory]
    [InlineData("dense")]
    [InlineData("padded")]
    public void Adds_to_gradients_that_another_use_left(string kind)
    {
        Case c = Case.Of(Backend, [3, 8, 2, 24], kind);
        Differentiated once = c.Run();
        Differentiated twice = Differentiated.Run(
            Backend,
            c.Dy,
            (tape, inputs) => Add.Apply(
                tape,
                TokenShift.Apply(tape, inputs[0], inputs[1], c.Layout),
                TokenShift.Apply(tape, inputs[0], inputs[1], c.Layout)),
            (c.X, c.Shape),
            (c.Mix, [3, 8, 2]));
        for (int i = 0; i < 2; i++)
            ErrorNorm.Require(twice.Gradients[i], [.. once.Gradients[i].Select(value => 2.0 * value)], Backend.Gradient(1e-6));
    }

    [Fact]
    public void Padding_gives_zero_and_takes_no_gradient()
    {
        Case c = Case.Of(Backend, [3, 21, 2, 24], "padded");
        Differentiated result = c.Run();
        int padding = c.Segments[1].Start * 2 * 24, row = 21 * 2 * 24;
        Assert.True(padding > 0);
        Assert.All(result.Y.Skip(row).Take(padding), value => Assert.Equal(0, value));
        Assert.All(result.Gradients[0].Skip(row).Take(padding), value => Assert.Equal(0, value));
        Assert.All(result.Gradients[1].Skip(row / 24).Take(padding / 24), value => Assert.Equal(0, value));
    }

    [Fact]
    public void Documents_packed_together_are_shifted_like_each_alone()
    {
        Case c = Case.Of(Backend, [1, 60, 2, 16], "packed");
        float[] packed = c.Run().Y;
        foreach (Segment document in c.Segments)
        {
            Range x = (document.Start * 32)..(document.End * 32), mix = (document.Start * 2)..(document.End * 2);
            using var tape = new Tape(recording: false);
            Tensor alone = TokenShift.Apply(
                tape,
                tape.Own(Backend.Activation(c.X[x], [1, document.Length, 2, 16])),
                tape.Own(Backend.Activation(c.Mix[mix], [1, document.Length, 2])));
            Assert.Equal(alone.ToArray(), packed[x]);
        }
    }

    [Fact]
    public void A_text_in_two_parts_is_shifted_like_the_whole()
    {
        float[] x = Samples.Normal(2 * 10 * 8, 1), mix = Samples.Normal(2 * 10, 2);
        using var tape = new Tape(recording: false);
        float[] whole = TokenShift.Apply(tape, Part(x, 0..10, 8), Part(mix, 0..10, 1, rank: 3)).ToArray();
        Tensor previous = tape.View(Part(x, 5..6, 8), [2, 1, 8]);
        float[] tail = TokenShift.Apply(tape, Part(x, 6..10, 8), Part(mix, 6..10, 1, rank: 3), previous: previous).ToArray();
        for (int row = 0; row < 2; row++) Assert.Equal(whole.Skip(((row * 10) + 6) * 8).Take(32), tail.Skip(row * 32).Take(32));

        Tensor Part(float[] values, Range tokens, int size, int rank = 4)
        {
            Range elements = (tokens.Start.Value * size)..(tokens.End.Value * size);
            float[] part = [.. Enumerable.Range(0, 2).SelectMany(row => values.AsSpan(row * 10 * size, 10 * size)[elements].ToArray())];
            int length = tokens.End.Value - tokens.Start.Value;
            return tape.Own(Backend.Activation(part, rank == 4 ? [2, length, 1, size] : [2, length, 1]));
        }
    }

    [Fact]
    public void Refuses_shapes_that_do_not_match_and_continued_documents()
    {
        using var tape = new Tape();
        Tensor x = Zeros([1, 4, 2, 8]), mix = Zeros([1, 4, 2]), previous = Zeros([1, 2, 8]);
        Assert.Equal(
            "TokenShift expects a mix of shape [1, 4, 2] for x [1, 4, 2, 8], but got [4, 2].",
            Assert.Throws<OperandException>(() => TokenShift.Apply(tape, x, tape.View(mix, [4, 2]))).Message);
        Assert.Throws<OperandException>(() => TokenShift.Apply(tape, tape.View(x, [4, 2, 8]), mix));
        Assert.Throws<OperandException>(() => TokenShift.Apply(tape, x, mix, previous: tape.View(previous, [2, 8])));
        Assert.Throws<OperandException>(() => TokenShift.Apply(tape, x, mix, SequenceLayout.Packed([0, 4]), previous));
        Assert.Throws<OperandException>(() => TokenShift.Apply(tape, x, mix, SequenceLayout.Packed([0, 5])));

        Tensor Zeros(Shape shape) => tape.Own(Backend.Activation(new float[shape.Count], shape));
    }

    protected sealed record Case(ShiftOperands Operands, float[] Dy) : ShiftOperands(Operands)
    {
        public static new Case Of(TestBackend backend, int[] extents, string kind)
        {
            ShiftOperands operands = ShiftOperands.Of(backend, extents, kind);
            return new(operands, backend.Round(Samples.Normal(operands.Shape.Count, 3)));
        }

        public Differentiated Run() => Differentiated.Run(
            Backend,
            Dy,
            (tape, inputs) => TokenShift.Apply(tape, inputs[0], inputs[1], Layout, PreviousOn(tape)),
            (X, Shape),
            (Mix, [Shape[0], Shape[1], Shape[2]]));
    }
}
