using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = a + b, of one shape (a residual connection).</summary>
public static class Add
{
    /// <summary>Adds two tensors element by element.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="a">Activations of any shape.</param>
    /// <param name="b">The type and shape of <paramref name="a"/>.</param>
    /// <returns>The sum, in the same type and shape.</returns>
    /// <exception cref="OperandException">The shapes or types differ.</exception>
    public static Tensor Apply(Tape tape, Tensor a, Tensor b)
    {
        Operands.RequireActivations(nameof(Add), a, b);
        if (a.Shape != b.Shape) throw new OperandException(nameof(Add), $"two tensors of one shape, {a.Shape}", $"{b.Shape}");
        Tensor y = tape.Allocate(a.Shape, a.Type, a.Device);
        if (y.Device.IsCpu) AddCpu.Forward(a, b, y);
        else AddCuda.Forward(a, b, y);
        Record(tape, a, b, y);
        return y;
    }

    /// <summary>Records y = a + b, whoever computed it.</summary>
    internal static void Record(Tape tape, Tensor a, Tensor b, Tensor y)
    {
        if (!tape.NeedsGradient(a, b)) return;
        tape.Record(nameof(Add), y, dy =>
        {
            if (!tape.TryHandOn(dy, a)) Accumulate(dy, tape.Accumulator(a)!);
            if (!tape.TryHandOn(dy, b)) Accumulate(dy, tape.Accumulator(b)!);
        });
    }

    private static void Accumulate(Tensor term, Tensor sum)
    {
        if (sum.Device.IsCpu) AddCpu.Accumulate(term, sum);
        else AddCuda.Accumulate(term, sum);
    }
}
