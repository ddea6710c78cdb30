using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = x Wᵀ + b.</summary>
public static class Linear
{
    /// <summary>Applies a linear layer to the innermost axis.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">[..., K]: F32, or on a GPU BF16 or F16.</param>
    /// <param name="weight">F32 [N, K], read in x's type.</param>
    /// <param name="bias">F32 [N], or none.</param>
    /// <param name="resultType">The result's type: F32 or that of x, which it is unless given.</param>
    /// <returns>[..., N].</returns>
    /// <exception cref="OperandException">The shapes, types or devices do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, Tensor? bias = null, DType? resultType = null)
    {
        DType type = resultType ?? x.Type;
        Check(x, weight, bias, type);
        int[] extents = x.Shape.ToArray();
        extents[^1] = weight.Shape[0];
        Tensor y = tape.Allocate(Shape.Create(extents), type, x.Device);
        bool isCpu = x.Device.IsCpu;
        if (isCpu) LinearCpu.Forward(x, weight, bias, y);
        else LinearCuda.Forward(x, weight, bias, y);
        if (tape.NeedsGradient(x, weight, bias))
        {
            tape.Record(nameof(Linear), y, dy =>
            {
                Tensor? dx = tape.Accumulator(x, out bool storeDx), dweight = tape.Accumulator(weight, out bool storeDweight);
                Tensor? dbias = tape.Accumulator(bias);
                if (!isCpu)
                {
                    LinearCuda.Backward(dy, x, weight, dx, storeDx, dweight, storeDweight, dbias);
                    return;
                }

                if (dx is not null) LinearCpu.InputGradient(dy, weight, dx, accumulate: !storeDx);
                if (dweight is not null) LinearCpu.WeightGradient(dy, x, dweight, accumulate: !storeDweight);
                if (dbias is not null) LinearCpu.AccumulateBias(dy, dbias);
            });
        }

        return y;
    }

    private static void Check(Tensor x, Tensor weight, Tensor? bias, DType resultType)
    {
        Operands.RequireActivations(nameof(Linear), x);
        Operands.RequireFloats(nameof(Linear), weight, bias);
        Operands.RequireOneDevice(nameof(Linear), x, weight, bias);
        if (resultType != x.Type && resultType != DType.F32)
            throw new OperandException(nameof(Linear), $"a result of {x.Type} or F32", $"{resultType}");
        if (weight.Shape.Rank != 2) throw new OperandException(nameof(Linear), "a weight [outputs, inputs]", $"{weight.Shape}");
        if (x.Shape.Rank == 0 || x.Shape[^1] != weight.Shape[1])
            throw new OperandException(nameof(Linear), $"an input [..., {weight.Shape[1]}] for the weight {weight.Shape}", $"{x.Shape}");
        if (bias is not null && bias.Shape != [weight.Shape[0]])
            throw new OperandException(nameof(Linear), $"an F32 bias [{weight.Shape[0]}]", $"{bias.Shape}");
    }
}
