using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>Sums and means of all elements, accumulated in double.</summary>
public static class Reduce
{
    /// <summary>The sum of all elements.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations of any shape.</param>
    /// <returns>F32 scalar, shape [].</returns>
    public static Tensor Sum(Tape tape, Tensor x) => Scaled(tape, x, nameof(Sum), 1);

    /// <summary>The mean of all elements.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations of any shape with at least one element.</param>
    /// <returns>F32 scalar, shape [].</returns>
    /// <exception cref="OperandException">There is no element.</exception>
    public static Tensor Mean(Tape tape, Tensor x)
    {
        if (x.Count == 0) throw new OperandException(nameof(Mean), "at least one element", $"{x.Shape}");
        return Scaled(tape, x, nameof(Mean), 1.0 / x.Count);
    }

    private static Tensor Scaled(Tape tape, Tensor x, string operation, double factor)
    {
        Operands.RequireActivations(operation, x);
        Tensor y = tape.Allocate([], DType.F32, x.Device);
        if (x.Device.IsCpu) y.CopyFrom([(float)(ReduceCpu.Sum(x) * factor)]);
        else ReduceCuda.Sum(x, factor, y);
        if (tape.NeedsGradient(x))
        {
            tape.Record(operation, y, dy =>
            {
                Tensor dx = tape.Accumulator(x, out bool storeDx)!;
                if (dx.Device.IsCpu) ReduceCpu.Spread((float)(dy.Item() * factor), dx, storeDx);
                else ReduceCuda.Spread(dy, factor, dx, storeDx);
            });
        }

        return y;
    }
}
