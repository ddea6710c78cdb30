using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Autograd;

public sealed class ColumnsCudaTests() : ColumnsSuite(TestBackend.CudaFloat32);

public sealed class ColumnsCudaBFloat16Tests() : ColumnsSuite(TestBackend.CudaBFloat16);

public sealed class ColumnsCudaFloat16Tests() : ColumnsSuite(TestBackend.CudaFloat16);

/// <summary>Operations on columns of a wider tensor give what they give where the columns are tensors of their own.</summary>
public abstract class ColumnsSuite(TestBackend backend) : TensorTest(backend)
{
    private const int Batch = 2, Tokens = 5;

    [Theory]
    [InlineData(24, 0)]
    [InlineData(24, 1)] // no row begins on 16 bytes
    [InlineData(8, 3)]
    public void Swiglu(int width, int between) =>
        Compare([width, width], [between, between], width, (tape, x) => SwiGlu.Apply(tape, x[0], x[1]));

    [Theory]
    [InlineData(48, 0)]
    [InlineData(48, 3)]
    [InlineData(7, 1)]
    public void Norm(int width, int between) =>
        Compare([width], [between], width, (tape, x) => RmsNorm.Apply(tape, x[0], Weight(tape, width)));

    [Theory]
    [InlineData(3, 16, 0)]
    [InlineData(3, 16, 5)]
    public void Norm_and_rotation(int heads, int size, int between) =>
        Compare([heads * size], [between], heads * size, (tape, x) =>
            RmsNormRotary.Apply(tape, tape.View(x[0], [Batch, Tokens, heads, size]), Weight(tape, heads * size)));

    [Theory]
    [InlineData(3, 16, 0)]
    [InlineData(3, 16, 5)]
    [InlineData(2, 5, 1)]
    public void Token_shift(int heads, int size, int between) =>
        Compare([heads * size, heads], [between, between], heads * size, (tape, x) =>
            TokenShift.Apply(tape, tape.View(x[0], [Batch, Tokens, heads, size]), x[1]));

    [Theory]
    [InlineData(3, 16, 0)]
    [InlineData(3, 16, 5)]
    [InlineData(2, 32, 8)]
    public void Token_shift_norm_and_rotation(int heads, int size, int between) =>
        Compare([heads * size, heads], [between, between], heads * size, (tape, x) =>
            ShiftNormRotary.Apply(tape, tape.View(x[0], [Batch, Tokens, heads, size]), x[1], Weight(tape, heads * size)));

    [Fact]
    public void Other_operations_refuse_columns()
    {
        using var tape = new Tape();
        Tensor wide = tape.Own(Backend.Activation(new float[Batch * Tokens * 16], [Batch, Tokens, 16]));
        Tensor columns = tape.Columns(wide, 8, [Batch, Tokens, 8]);
        Assert.Throws<NotSupportedException>(() => Add.Apply(tape, columns, columns));
        Assert.Throws<NotSupportedException>(columns.Clear);
        Assert.Throws<NotSupportedException>(columns.ToArray);
    }

    [Fact]
    public void A_gradient_that_misses_columns_is_an_error()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation(new float[Batch * Tokens * 8], [Batch, Tokens, 8])));
        Tensor wide = Linear.Apply(tape, x, tape.Own(Backend.Parameter(new float[16 * 8], [16, 8])));
        _ = tape.Columns(wide, 0, [Batch, Tokens, 8]);
        Tensor y = RmsNorm.Apply(tape, tape.Columns(wide, 8, [Batch, Tokens, 8]), Weight(tape, 8));
        Assert.Equal(
            "No gradient has flowed to some columns of the result of Linear.",
            Assert.Throws<InvalidOperationException>(() => tape.Backward(y)).Message);
    }

    private Tensor Weight(Tape tape, int width) => tape.Own(Backend.Parameter(Samples.Normal(width, 7), [width]));

    /// <summary>Runs an operation on tensors [B, T, widths[i]] and on columns of a tensor that holds them side by side, each with some
    /// columns before it.</summary>
    private void Compare(int[] widths, int[] before, int resultWidth, Func<Tape, Tensor[], Tensor> apply)
    {
        const int rows = Batch * Tokens;
        float[][] inputs = [.. widths.Select((width, i) => Samples.Normal(rows * width, (uint)i + 1))];
        float[] dy = Samples.Normal(rows * resultWidth, 9);
        Differentiated apart = Differentiated.Run(
            Backend, dy, apply, [.. widths.Select((width, i) => new Operand(inputs[i], [Batch, Tokens, width], IsParameter: false))]);

        int[] starts = new int[widths.Length];
        int wide = 0;
        for (int i = 0; i < widths.Length; i++)
        {
            starts[i] = wide + before[i];
            wide = starts[i] + widths[i];
        }

        var together = new float[rows * wide];
        for (int i = 0; i < widths.Length; i++)
        {
            for (int row = 0; row < rows; row++)
                inputs[i].AsSpan(row * widths[i], widths[i]).CopyTo(together.AsSpan((row * wide) + starts[i]));
        }

        Differentiated columns = Differentiated.Run(
            Backend,
            dy,
            (tape, x) => apply(tape, [.. widths.Select((width, i) => tape.Columns(x[0], starts[i], [Batch, Tokens, width]))]),
            (together, [Batch, Tokens, wide]));
        ErrorNorm.Require(columns.Y, Samples.Widen(apart.Y), Backend.Forward(1e-6));
        for (int i = 0; i < widths.Length; i++)
        {
            var gradient = new float[inputs[i].Length];
            for (int row = 0; row < rows; row++)
                columns.Gradients[0].AsSpan((row * wide) + starts[i], widths[i]).CopyTo(gradient.AsSpan(row * widths[i]));
            ErrorNorm.Require(gradient, Samples.Widen(apart.Gradients[i]), Backend.Gradient(1e-6));
        }
    }
}
