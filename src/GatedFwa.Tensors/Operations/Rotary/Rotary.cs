using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>Rotary position embedding, rotate-half convention (Su et al. 2021).</summary>
public static class Rotary
{
    /// <summary>Rotates the halves of each head by angles that grow with the position.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [B, T, H, D], D even.</param>
    /// <param name="firstPosition">The position of token 0; angles are computed in double, so that position 1,000,000 is as exact
    /// as 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    /// <returns>[B, T, H, D], in the type of <paramref name="x"/>.</returns>
    /// <exception cref="OperandException">D is odd, or <paramref name="x"/> has not four axes.</exception>
    public static Tensor Apply(Tape tape, Tensor x, long firstPosition = 0, float frequencyBase = 10_000) =>
        Apply(tape, x, [firstPosition], frequencyBase);

    /// <summary>The same for texts of which each is at a position of its own.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [B, T, H, D], D even.</param>
    /// <param name="firstPositions">The position of token 0: one for all rows, or B of them.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    internal static Tensor Apply(Tape tape, Tensor x, ReadOnlySpan<long> firstPositions, float frequencyBase)
    {
        Operands.RequireActivations(nameof(Rotary), x);
        if (x.Shape.Rank != 4 || x.Shape[3] % 2 != 0)
            throw new OperandException(nameof(Rotary), "x of shape [B, T, H, D] with an even D", $"{x.Shape}");
        RotaryTable.RequirePositions(nameof(Rotary), x, firstPositions);
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        Tensor table = RotaryTable.Of(tape, x, firstPositions, frequencyBase);
        if (x.Device.IsCpu) RotaryCpu.Forward(x, table, y);
        else RotaryCuda.Forward(x, table, y);
        if (tape.NeedsGradient(x))
        {
            tape.Record(nameof(Rotary), y, dy =>
            {
                Tensor dx = tape.Accumulator(x, out bool storeDx)!;
                if (dx.Device.IsCpu) RotaryCpu.Backward(dy, table, dx, storeDx);
                else RotaryCuda.Backward(dy, table, dx, storeDx);
            });
        }

        return y;
    }
}
