using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>
/// RMS normalisation of a whole projection, then rotary position embedding of its heads (queries and keys under QK norm). On a GPU
/// both are one pass over memory; elsewhere it is <see cref="RmsNorm"/> and <see cref="Rotary"/>.
/// </summary>
public static class RmsNormRotary
{
    /// <summary>Normalises all heads of a token together, then turns each.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [B, T, H, D], D even.</param>
    /// <param name="weight">F32 [H D].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="firstPosition">The position of token 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    /// <returns>[B, T, H, D], in the type of <paramref name="x"/>.</returns>
    /// <exception cref="OperandException">The shapes or types do not match.</exception>
    public static Tensor Apply(
        Tape tape, Tensor x, Tensor weight, float epsilon = 1e-6f, long firstPosition = 0, float frequencyBase = 10_000) =>
        Apply(tape, x, weight, epsilon, [firstPosition], frequencyBase);

    /// <summary>The same for texts of which each is at a position of its own: one for all rows of x, or B of them.</summary>
    internal static Tensor Apply(
        Tape tape, Tensor x, Tensor weight, float epsilon, ReadOnlySpan<long> firstPositions, float frequencyBase)
    {
        Require(nameof(RmsNormRotary), x, weight, firstPositions);
        int width = weight.Shape[0];
        Tensor rows = tape.View(x, [x.Shape[0], x.Shape[1], width]);
        if (x.Device.IsCpu || !RmsNormCuda.CanRotate(x, width, x.Shape[3]))
        {
            Tensor normalised = RmsNorm.Apply(tape, rows, weight, epsilon);
            return Rotary.Apply(tape, tape.View(normalised, x.Shape), firstPositions, frequencyBase);
        }

        return ApplyFused(tape, x, rows, weight, RotaryTable.Of(tape, x, firstPositions, frequencyBase), epsilon);
    }

    /// <summary>Refuses what cannot be normalised and turned.</summary>
    internal static void Require(string operation, Tensor x, Tensor weight, ReadOnlySpan<long> firstPositions)
    {
        Operands.RequireActivations(operation, x);
        Operands.RequireFloats(operation, weight);
        Operands.RequireOneDevice(operation, x, weight);
        if (x.Shape.Rank != 4 || x.Shape[3] % 2 != 0 || x.Shape[2] * x.Shape[3] == 0)
            throw new OperandException(operation, "x of shape [B, T, H, D] with an even D", $"{x.Shape}");
        int width = x.Shape[2] * x.Shape[3];
        if (weight.Shape != [width])
            throw new OperandException(operation, $"a weight of shape [{width}] for x {x.Shape}", $"{weight.Shape}");
        RotaryTable.RequirePositions(operation, x, firstPositions);
    }

    // By itself, so that the way past it makes no room for what its gradient needs.
    private static Tensor ApplyFused(Tape tape, Tensor x, Tensor rows, Tensor weight, Tensor table, float epsilon)
    {
        var rotation = new RmsNormCuda.HeadRotation(table);
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        RmsNormCuda.ForwardRotated(rows, weight, epsilon, rotation, y);
        if (tape.NeedsGradient(x, weight))
        {
            tape.Record(nameof(RmsNormRotary), y, dy =>
            {
                Tensor? dx = tape.Accumulator(rows, out bool storeDx), dweight = tape.Accumulator(weight, out bool storeDweight);
                RmsNormCuda.Backward(rows, weight, epsilon, dy, dx, storeDx, dweight, storeDweight, rotation);
            });
        }

        return y;
    }
}
