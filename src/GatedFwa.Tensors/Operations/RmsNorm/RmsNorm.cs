using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = x / √(mean(x²) + ε) ∘ weight over the innermost axis (Zhang and Sennrich 2019).</summary>
public static class RmsNorm
{
    /// <summary>Normalises the innermost axis.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [..., C].</param>
    /// <param name="weight">F32 [C].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <returns>[..., C], in the type of <paramref name="x"/>.</returns>
    /// <exception cref="OperandException">The shapes or types do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, float epsilon = 1e-6f)
    {
        Require(x, weight);
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        if (y.Device.IsCpu) RmsNormCpu.Forward(x, weight, epsilon, y);
        else RmsNormCuda.Forward(x, weight, epsilon, y);
        Record(tape, x, weight, epsilon, y);
        return y;
    }

    /// <summary>
    /// Normalises a sum: a residual connection and the norm behind it, which on a GPU are one pass over memory. Elsewhere it is
    /// <see cref="Add"/>, then the norm.
    /// </summary>
    /// <param name="tape">Owns the results and records both operations.</param>
    /// <param name="x">Activations [..., C].</param>
    /// <param name="branch">The type and shape of <paramref name="x"/>.</param>
    /// <param name="weight">F32 [C].</param>
    /// <param name="sum">x + branch.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <returns>The norm of the sum: [..., C], in the type of <paramref name="x"/>.</returns>
    /// <exception cref="OperandException">The shapes or types do not match.</exception>
    public static Tensor ApplyToSum(Tape tape, Tensor x, Tensor branch, Tensor weight, out Tensor sum, float epsilon = 1e-6f)
    {
        if (x.Device.IsCpu || branch.Device.IsCpu || x.Shape != branch.Shape)
        {
            sum = Add.Apply(tape, x, branch);
            return Apply(tape, sum, weight, epsilon);
        }

        Operands.RequireActivations(nameof(RmsNorm), x, branch);
        Require(x, weight);
        sum = tape.Allocate(x.Shape, x.Type, x.Device);
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        RmsNormCuda.ForwardSum(x, branch, weight, epsilon, sum, y);
        Add.Record(tape, x, branch, sum);
        Record(tape, sum, weight, epsilon, y);
        return y;
    }

    private static void Require(Tensor x, Tensor weight)
    {
        Operands.RequireActivations(nameof(RmsNorm), x);
        Operands.RequireFloats(nameof(RmsNorm), weight);
        Operands.RequireOneDevice(nameof(RmsNorm), x, weight);
        if (x.Shape.Rank == 0 || x.Shape[^1] == 0)
            throw new OperandException(nameof(RmsNorm), "x of shape [..., C], C at least 1", $"{x.Shape}");
        if (weight.Shape != [x.Shape[^1]])
            throw new OperandException(nameof(RmsNorm), $"a weight of shape [{x.Shape[^1]}] for x {x.Shape}", $"{weight.Shape}");
    }

    private static void Record(Tape tape, Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        if (!tape.NeedsGradient(x, weight)) return;
        tape.Record(nameof(RmsNorm), y, dy =>
        {
            Tensor? dx = tape.Accumulator(x, out bool storeDx);
            if (dy.Device.IsCpu)
            {
                RmsNormCpu.Backward(x, weight, epsilon, dy, dx, storeDx, tape.Accumulator(weight));
                return;
            }

            Tensor? dweight = tape.Accumulator(weight, out bool storeDweight);
            RmsNormCuda.Backward(x, weight, epsilon, dy, dx, storeDx, dweight, storeDweight);
        });
    }
}
