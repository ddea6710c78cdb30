using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class EmbeddingTests() : EmbeddingSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        (int[] tokens, float[] table, float[] dy) = Case(12, 4, 3);
        double[] values = Samples.Widen(table), upstream = Samples.Widen(dy);
        double Loss() => EmbeddingReference.Forward(tokens, values, 3).Zip(upstream, (y, g) => y * g).Sum();
        Assert.InRange(GradientCheck.WorstDeviation(values, Loss, EmbeddingReference.Backward(tokens, upstream, 4, 3)), 0, 1e-8);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        (int[] tokens, float[] table, float[] dy) = Case(500, 9, 200);
        ThreadInvariance.Check(() => Run(tokens, table, dy, 9, 200));
    }
}

public sealed class EmbeddingCudaTests() : EmbeddingSuite(TestBackend.CudaFloat32);

public sealed class EmbeddingCudaBFloat16Tests() : EmbeddingSuite(TestBackend.CudaBFloat16);

public sealed class EmbeddingCudaFloat16Tests() : EmbeddingSuite(TestBackend.CudaFloat16);

public abstract class EmbeddingSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(7, 5, 17)]
    [InlineData(3000, 257, 130)]
    [InlineData(500, 300, 24)] // two passes of the sort
    [InlineData(200, 1, 9)] // one row gets all
    [InlineData((1 << 20) + 777, 2000, 1)] // on a GPU, sorted in longer runs
    public void Follows_the_reference_in_both_directions(int count, int vocabulary, int width)
    {
        (int[] tokens, float[] table, float[] dy) = Case(count, vocabulary, width);
        Differentiated result = Run(tokens, table, dy, vocabulary, width);
        ErrorNorm.Require(result.Y, EmbeddingReference.Forward(tokens, Samples.Widen(Backend.Round(table)), width), 0);
        ErrorNorm.Require(result.Gradients[0], EmbeddingReference.Backward(tokens, Samples.Widen(dy), vocabulary, width), 1e-6);
    }

    [Fact]
    public void Keeps_the_axes_of_the_tokens()
    {
        using var tape = new Tape();
        Tensor tokens = tape.Own(Tensor.From([0, 1, 1, 0, 1, 0], [2, 3])), table = tape.Own(Backend.Parameter(new float[10], [2, 5]));
        Assert.Equal([2, 3, 5], Embedding.Apply(tape, tokens, table, Backend.Activations).Shape);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(-1)]
    public void Refuses_a_token_outside_the_table(int token)
    {
        using var tape = new Tape();
        Tensor tokens = tape.Own(Tensor.From([0, token], [2])), table = tape.Own(Backend.Parameter(new float[6], [3, 2]));
        Assert.Equal(
            $"Embedding expects tokens in 0 … 2, but got {token} at position 1.",
            Assert.Throws<OperandException>(() => Embedding.Apply(tape, tokens, table)).Message);
    }

    [Fact]
    public void Refuses_tokens_that_are_not_integers_and_tables_that_are_not_matrices()
    {
        using var tape = new Tape();
        Tensor tokens = tape.Own(Tensor.From([0], [1])), table = tape.Own(Backend.Parameter(new float[6], [3, 2]));
        Assert.Throws<OperandException>(() => Embedding.Apply(tape, table, table));
        Assert.Throws<OperandException>(() => Embedding.Apply(tape, tokens, tape.View(table, [6])));
    }

    protected (int[] Tokens, float[] Table, float[] Dy) Case(int count, int vocabulary, int width)
    {
        var random = new CounterRandom(7);
        int[] tokens = [.. Enumerable.Range(0, count).Select(i => (int)random.Below(i, vocabulary))];
        return (tokens, Samples.Normal(vocabulary * width, 1), Backend.Round(Samples.Normal(count * width, 2)));
    }

    protected Differentiated Run(int[] tokens, float[] table, float[] dy, int vocabulary, int width) =>
        Differentiated.Run(
            Backend,
            dy,
            (tape, inputs) =>
                Embedding.Apply(tape, tape.Own(Tensor.From(tokens, [tokens.Length], Backend.Device)), inputs[0], Backend.Activations),
            Operand.Parameter(table, [vocabulary, width]));

    [Fact]
    public void Gives_the_same_bits_again()
    {
        (int[] tokens, float[] table, float[] dy) = Case(300, 9, 40);
        Repeatability.Check(() => Run(tokens, table, dy, 9, 40));
    }

    [Fact]
    public void Takes_tokens_from_the_host()
    {
        using var tape = new Tape();
        Tensor tokens = tape.Own(Tensor.From([2, 0], [2])), table = tape.Own(Backend.Parameter([0, 1, 2, 3, 4, 5], [3, 2]));
        Assert.Equal([4, 5, 0, 1], Embedding.Apply(tape, tokens, table, Backend.Activations).ToArray());
    }
}
