using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = a + b, of one shape (a residual connection).</summary>
public static class Add
{
    /// <summary>Adds two tensors element by element.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="a">F32, any shape.</param>
    /// <param name="b">F32, the shape of <paramref name="a"/>.</param>
    /// <returns>The sum, in the same shape.</returns>
    /// <exception cref="OperandException">The shapes differ.</exception>
    public static Tensor Apply(Tape tape, Tensor a, Tensor b)
    {
        Operands.RequireFloats(nameof(Add), a, b);
        if (a.Shape != b.Shape) throw new OperandException(nameof(Add), $"two tensors of one shape, {a.Shape}", $"{b.Shape}");
        Tensor y = tape.Allocate(a.Shape, DType.F32, a.Device);
        AddCpu.Forward(a, b, y);
        if (tape.NeedsGradient(a, b))
        {
            tape.Record(nameof(Add), y, dy =>
            {
                if (!tape.TryHandOn(dy, a)) AddCpu.Accumulate(dy, tape.Accumulator(a)!);
                if (!tape.TryHandOn(dy, b)) AddCpu.Accumulate(dy, tape.Accumulator(b)!);
            });
        }

        return y;
    }
}
