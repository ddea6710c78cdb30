using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = 1 / (1 + e^−x) of a run of columns: gates that one projection gave side by side come apart.</summary>
public static class Sigmoid
{
    /// <summary>Squashes to (0, 1).</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [..., C].</param>
    /// <param name="firstColumn">The first column that is taken.</param>
    /// <param name="columns">How many, n; all from the first on unless given.</param>
    /// <returns>F32 [..., n].</returns>
    /// <exception cref="OperandException">x is not F32, or has no such columns.</exception>
    public static Tensor Apply(Tape tape, Tensor x, int firstColumn = 0, int? columns = null)
    {
        Operands.RequireFloats(nameof(Sigmoid), x);
        if (x.Shape.Rank == 0) throw new OperandException(nameof(Sigmoid), "x of shape [..., C]", $"{x.Shape}");
        int width = x.Shape[^1], count = columns ?? width - firstColumn;
        if (firstColumn < 0 || count < 1 || count > width - firstColumn)
            throw new OperandException(nameof(Sigmoid), $"at least one of the {width} columns", $"{count} from column {firstColumn} on");
        var run = new ColumnRun(x.Shape.Rows, width, firstColumn, count);
        Tensor y = tape.Allocate([.. x.Shape.ToArray()[..^1], count], DType.F32, x.Device);
        if (y.Device.IsCpu) SigmoidCpu.Forward(x, run, y);
        else SigmoidCuda.Forward(x, run, y);
        if (tape.NeedsGradient(x))
        {
            tape.Record(nameof(Sigmoid), y, dy =>
            {
                Tensor dx = tape.Accumulator(x)!; // Of the other columns somebody else may be the writer, or nobody.
                if (dy.Device.IsCpu) SigmoidCpu.Backward(y, dy, run, dx);
                else SigmoidCuda.Backward(y, dy, run, dx);
            });
        }

        return y;
    }
}

/// <summary>Neighbouring columns of a matrix.</summary>
/// <param name="Rows">Of the matrix.</param>
/// <param name="Width">C: columns of the matrix.</param>
/// <param name="First">The first column of the run.</param>
/// <param name="Count">n: its columns.</param>
internal readonly record struct ColumnRun(int Rows, int Width, int First, int Count);
