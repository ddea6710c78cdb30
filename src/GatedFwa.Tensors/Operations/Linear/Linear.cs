using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = x Wᵀ + b.</summary>
public static class Linear
{
    /// <summary>Applies a linear layer to the innermost axis.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [..., K].</param>
    /// <param name="weight">F32 [N, K].</param>
    /// <param name="bias">F32 [N], or none.</param>
    /// <returns>F32 [..., N].</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, Tensor? bias = null)
    {
        Check(x, weight, bias);
        int[] extents = x.Shape.ToArray();
        extents[^1] = weight.Shape[0];
        Tensor y = tape.Allocate(Shape.Create(extents), DType.F32, x.Device);
        LinearCpu.Forward(x, weight, bias, y);
        if (tape.NeedsGradient(x, weight, bias))
        {
            tape.Record(nameof(Linear), y, dy =>
            {
                if (tape.Accumulator(x, out bool storeDx) is { } dx) LinearCpu.InputGradient(dy, weight, dx, accumulate: !storeDx);
                if (tape.Accumulator(weight) is { } dweight) LinearCpu.AccumulateWeight(dy, x, dweight);
                if (tape.Accumulator(bias) is { } dbias) LinearCpu.AccumulateBias(dy, dbias);
            });
        }

        return y;
    }

    private static void Check(Tensor x, Tensor weight, Tensor? bias)
    {
        Operands.RequireFloats(nameof(Linear), x, weight, bias);
        if (weight.Shape.Rank != 2) throw new OperandException(nameof(Linear), "a weight [outputs, inputs]", $"{weight.Shape}");
        if (x.Shape.Rank == 0 || x.Shape[^1] != weight.Shape[1])
            throw new OperandException(nameof(Linear), $"an input [..., {weight.Shape[1]}] for the weight {weight.Shape}", $"{x.Shape}");
        if (bias is not null && bias.Shape != [weight.Shape[0]])
            throw new OperandException(nameof(Linear), $"an F32 bias [{weight.Shape[0]}]", $"{bias.Shape}");
    }
}
