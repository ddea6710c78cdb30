using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class RotaryTests() : RotarySuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        Shape shape = [2, 3, 2, 4];
        double[] x = Samples.Widen(Samples.Normal(shape.Count, 1)), dy = Samples.Widen(Samples.Normal(shape.Count, 2));
        double Loss() => RotaryReference.Forward(x, shape, 5, Base).Zip(dy, (y, g) => y * g).Sum();
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, RotaryReference.Backward(dy, shape, 5, Base)), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        Shape shape = [2, 150, 3, 24];
        float[] x = Samples.Normal(shape.Count, 1), dy = Samples.Normal(shape.Count, 2);
        ThreadInvariance.Check(() => Run(x, dy, shape, 3));
    }
}

public sealed class RotaryCudaTests() : RotarySuite(TestBackend.CudaFloat32);

public sealed class RotaryCudaBFloat16Tests() : RotarySuite(TestBackend.CudaBFloat16);

public sealed class RotaryCudaFloat16Tests() : RotarySuite(TestBackend.CudaFloat16);

public abstract class RotarySuite(TestBackend backend) : TensorTest(backend)
{
    protected const float Base = 10_000;

    [Theory]
    [InlineData(1, 1, 1, 2, 0)]
    [InlineData(2, 5, 3, 8, 0)]
    [InlineData(1, 33, 2, 40, 7)]
    [InlineData(2, 131, 2, 64, 1000)]
    [InlineData(1, 70, 1, 256, 1_000_000)]
    [InlineData(1, 40, 2, 64, 1_000_000_000)]
    public void Follows_the_reference_in_both_directions_at_any_position(int batch, int tokens, int heads, int size, long firstPosition)
    {
        Shape shape = [batch, tokens, heads, size];
        float[] x = Backend.Round(Samples.Normal(shape.Count, 1)), dy = Backend.Round(Samples.Normal(shape.Count, 2));
        Differentiated result = Run(x, dy, shape, firstPosition);
        ErrorNorm.Require(result.Y, RotaryReference.Forward(Samples.Widen(x), shape, firstPosition, Base), Backend.Forward(3e-7));
        double[] dx = RotaryReference.Backward(Samples.Widen(dy), shape, firstPosition, Base);
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(3e-7));
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(5, 24)]
    [InlineData(40, 8)]
    public void Each_row_of_a_batch_can_be_at_a_position_of_its_own(int tokens, int size)
    {
        const int Heads = 2;
        long[] positions = [7, 0, 1_000_000, 7];
        int width = tokens * Heads * size;
        Shape shape = [positions.Length, tokens, Heads, size];
        float[] x = Backend.Round(Samples.Normal(shape.Count, 1)), dy = Backend.Round(Samples.Normal(shape.Count, 2));
        Differentiated result = Differentiated.Run(
            Backend, dy, (tape, inputs) => Rotary.Apply(tape, inputs[0], (ReadOnlySpan<long>)positions, Base), (x, shape));
        for (int row = 0; row < positions.Length; row++)
        {
            float[] Part(float[] values) => values[(row * width)..((row + 1) * width)];
            Differentiated alone = Run(Part(x), Part(dy), [1, tokens, Heads, size], positions[row]);
            Assert.Equal(alone.Y, Part(result.Y));
            Assert.Equal(alone.Gradients[0], Part(result.Gradients[0]));
        }
    }

    [Fact]
    public void Products_of_two_rotated_heads_depend_on_their_distance_alone()
    {
        float[] q = Backend.Round(Samples.Normal(64, 1)), k = Backend.Round(Samples.Normal(64, 2));
        double near = Product(12, 5), far = Product(1_000_012, 1_000_005);
        Assert.Equal(near, far, Backend.Forward(1e-4) * 8); // Norms of 8.
        Assert.NotEqual(near, Product(12, 6), 1e-2);

        double Product(long queryPosition, long keyPosition)
        {
            using var tape = new Tape(recording: false);
            float[] rotatedQ = Rotary.Apply(tape, tape.Own(Backend.Activation(q, [1, 1, 1, 64])), queryPosition).ToArray();
            float[] rotatedK = Rotary.Apply(tape, tape.Own(Backend.Activation(k, [1, 1, 1, 64])), keyPosition).ToArray();
            return rotatedQ.Zip(rotatedK, (a, b) => (double)a * b).Sum();
        }
    }

    [Fact]
    public void A_text_in_two_parts_is_rotated_like_the_whole()
    {
        float[] x = Samples.Normal(100 * 8, 1);
        using var tape = new Tape(recording: false);
        float[] whole = Rotary.Apply(tape, tape.Own(Backend.Activation(x, [1, 100, 1, 8]))).ToArray();
        float[] head = Rotary.Apply(tape, tape.Own(Backend.Activation(x.AsSpan(0, 37 * 8), [1, 37, 1, 8]))).ToArray();
        float[] tail = Rotary.Apply(tape, tape.Own(Backend.Activation(x.AsSpan(37 * 8), [1, 63, 1, 8])), 37).ToArray();
        ErrorNorm.Require([.. head, .. tail], Samples.Widen(whole), Backend.Forward(1e-7));
    }

    [Fact]
    public void Adds_to_a_gradient_that_another_use_of_x_left()
    {
        Shape shape = [1, 5, 2, 16];
        float[] x = Backend.Round(Samples.Normal(shape.Count, 1)), dy = Backend.Round(Samples.Normal(shape.Count, 2));
        Differentiated twice = Differentiated.Run(
            Backend, dy, (tape, inputs) => Add.Apply(tape, inputs[0], Rotary.Apply(tape, inputs[0], 3, Base)), (x, shape));
        double[] turned = RotaryReference.Backward(Samples.Widen(dy), shape, 3, Base);
        ErrorNorm.Require(twice.Gradients[0], [.. turned.Zip(dy, (a, b) => a + b)], Backend.Gradient(1e-6));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(5)]
    public void Refuses_any_number_of_positions_but_one_or_one_a_row(int count)
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[4 * 3 * 4], [4, 3, 1, 4]));
        Tensor weight = tape.Own(Backend.Parameter(new float[4], [4]));
        string expected = $"expects one first position, or one for each of 4 rows, but got {count}.";
        var refusal = Assert.Throws<OperandException>(() => Rotary.Apply(tape, x, new long[count], Base));
        Assert.Equal($"Rotary {expected}", refusal.Message);
        refusal = Assert.Throws<OperandException>(() => RmsNormRotary.Apply(tape, x, weight, 1e-6f, new long[count], Base));
        Assert.Equal($"RmsNormRotary {expected}", refusal.Message);
    }

    [Fact]
    public void Refuses_an_odd_head_and_a_negative_position()
    {
        using var tape = new Tape();
        Assert.Equal(
            "Rotary expects x of shape [B, T, H, D] with an even D, but got [1, 1, 1, 3].",
            Assert.Throws<OperandException>(() => Rotary.Apply(tape, tape.Own(Backend.Activation(new float[3], [1, 1, 1, 3])))).Message);
        Assert.Throws<OperandException>(() => Rotary.Apply(tape, tape.Own(Backend.Activation(new float[4], [1, 1, 4]))));
        Assert.Throws<OperandException>(() => Rotary.Apply(tape, tape.Own(Backend.Activation(new float[4], [1, 1, 1, 4])), -1));
    }

    protected Differentiated Run(float[] x, float[] dy, Shape shape, long firstPosition) =>
        Differentiated.Run(Backend, dy, (tape, inputs) => Rotary.Apply(tape, inputs[0], firstPosition, Base), (x, shape));
}
