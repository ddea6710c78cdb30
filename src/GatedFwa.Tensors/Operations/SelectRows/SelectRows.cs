using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y_i = x[rows_i]: the few tokens of a batch that what follows is asked about.</summary>
public static class SelectRows
{
    /// <summary>Copies rows out.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [..., C].</param>
    /// <param name="rows">I32 [n], on the CPU wherever x lies: rows of x, counted over all axes but the last, in rising order.</param>
    /// <returns>[n, C], in the type of <paramref name="x"/>.</returns>
    /// <exception cref="OperandException">The types do not fit, or the rows do not rise or are none of x.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor rows)
    {
        const string Name = nameof(SelectRows);
        Operands.RequireActivations(Name, x);
        if (x.Shape.Rank == 0) throw new OperandException(Name, "activations [..., C]", $"{x.Shape}");
        if (rows.Type != DType.I32 || !rows.Device.IsCpu || rows.Shape.Rank != 1)
            throw new OperandException(Name, "I32 rows [n] on the CPU", $"{rows.Type} {rows.Shape} on {rows.Device}");
        RequireRising(rows.AsIntegerSpan(), x.Shape.Rows);

        Tensor y = tape.Allocate([rows.Shape[0], x.Shape[^1]], x.Type, x.Device);
        Tensor there = x.Device.IsCpu ? rows : tape.Own(Tensor.From(rows.AsIntegerSpan(), rows.Shape, x.Device));
        if (x.Device.IsCpu) SelectRowsCpu.Forward(x, there, y);
        else SelectRowsCuda.Forward(x, there, y);
        if (tape.NeedsGradient(x))
        {
            tape.Record(Name, y, dy =>
            {
                // Rows that were not selected get nothing: most of dx is zeros.
                Tensor dx = tape.Accumulator(x)!;
                if (dx.Device.IsCpu) SelectRowsCpu.Backward(there, dy, dx);
                else SelectRowsCuda.Backward(there, dy, dx);
            });
        }

        return y;
    }

    private static void RequireRising(ReadOnlySpan<int> rows, int count)
    {
        int before = -1;
        foreach (int row in rows)
        {
            if (row <= before || row >= count)
                throw new OperandException(nameof(SelectRows), $"rising rows in 0 … {count - 1}", $"{row} after {before}");
            before = row;
        }
    }
}
