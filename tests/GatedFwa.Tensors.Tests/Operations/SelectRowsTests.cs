using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class SelectRowsTests() : SelectRowsSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        const int Count = 5, Width = 3;
        int[] rows = [0, 3, 4];
        double[] x = Samples.Widen(Samples.Normal(Count * Width, 1)), dy = Samples.Widen(Samples.Normal(rows.Length * Width, 2));
        double Loss() => SelectRowsReference.Forward(x, rows, Width).Zip(dy, (y, g) => y * g).Sum();
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, SelectRowsReference.Backward(rows, dy, Count, Width)), 0, 1e-8);
    }

    [Fact]
    public void Any_number_of_threads_gives_the_same_bits() => ThreadInvariance.Check(() => Differentiated.Run(
        Backend,
        Samples.Normal(500 * 70, 2),
        (tape, inputs) => SelectRows.Apply(tape, inputs[0], tape.Own(Tensor.From(Rows(500), [500]))),
        (Samples.Normal(1000 * 70, 1), [1000, 70])));
}

public sealed class SelectRowsCudaTests() : SelectRowsSuite(TestBackend.CudaFloat32);

public sealed class SelectRowsCudaBFloat16Tests() : SelectRowsSuite(TestBackend.CudaBFloat16);

public sealed class SelectRowsCudaFloat16Tests() : SelectRowsSuite(TestBackend.CudaFloat16);

public abstract class SelectRowsSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 5)]
    [InlineData(40, 64)]
    [InlineData(700, 33)]
    public void Follows_the_reference_in_both_directions(int selected, int width)
    {
        int count = 2 * selected;
        int[] rows = Rows(selected);
        float[] x = Backend.Round(Samples.Normal(count * width, 1)), dy = Backend.Round(Samples.Normal(selected * width, 2));
        using var tape = new Tape();
        Tensor tx = tape.Watch(tape.Own(Backend.Activation(x, [2, selected, width])));
        Tensor y = SelectRows.Apply(tape, tx, tape.Own(Tensor.From(rows, [selected])));
        Assert.Equal<Shape>([selected, width], y.Shape);
        Assert.Equal(SelectRowsReference.Forward(Samples.Widen(x), rows, width), Samples.Widen(y.ToArray()));

        tape.Backward(y, tape.Own(Backend.Activation(dy, [selected, width])));
        Assert.Equal(SelectRowsReference.Backward(rows, Samples.Widen(dy), count, width), Samples.Widen(tape.Gradient(tx)!.ToArray()));
    }

    [Fact]
    public void Adds_to_the_gradient_that_is_there()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation([1f, 2f, 3f, 4f], [2, 2])));
        Tensor twice = Add.Apply(tape, SelectRows.Apply(tape, x, tape.Own(Tensor.From([1], [1]))), SelectRows.Apply(tape, x, tape.Own(Tensor.From([1], [1]))));
        tape.Backward(twice, tape.Own(Backend.Activation([5f, 7f], [1, 2])));
        Assert.Equal([0f, 0f, 10f, 14f], tape.Gradient(x)!.ToArray());
    }

    [Fact]
    public void No_rows_are_no_rows()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation([1f, 2f], [2, 1])));
        Tensor y = SelectRows.Apply(tape, x, tape.Own(Tensor.Empty([0], DType.I32)));
        Assert.Equal<Shape>([0, 1], y.Shape);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(1, 1)]
    [InlineData(0, 3)]
    [InlineData(-1, 1)]
    public void Refuses_rows_that_do_not_rise_or_are_none(int first, int second)
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[6], [3, 2]));
        string message = Assert.Throws<OperandException>(() => SelectRows.Apply(tape, x, tape.Own(Tensor.From([first, second], [2])))).Message;
        Assert.StartsWith("SelectRows expects rising rows in 0 … 2, but got ", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[6], [3, 2]));
        Assert.Contains("I32 rows [n]", Assert.Throws<OperandException>(() => SelectRows.Apply(tape, x, tape.Own(Tensor.From([1f], [1])))).Message);
        Assert.Contains("I32 rows [n]", Assert.Throws<OperandException>(() => SelectRows.Apply(tape, x, tape.Own(Tensor.From([1], [1, 1])))).Message);
    }

    /// <summary>One of every two, now the first and now the second.</summary>
    protected static int[] Rows(int count) => [.. Enumerable.Range(0, count).Select(i => (2 * i) + (i % 3 == 0 ? 1 : 0))];
}
