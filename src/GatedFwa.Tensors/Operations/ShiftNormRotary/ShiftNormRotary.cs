using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>
/// Each token mixed with the one before it, normalised, its heads turned by position: what keys go through under QK norm. On a GPU that
/// is one pass over memory; elsewhere it is <see cref="TokenShift"/>, then <see cref="RmsNormRotary"/>.
/// </summary>
public static class ShiftNormRotary
{
    /// <summary>Shifts, normalises all heads of a token together, then turns each.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [B, T, H, D], D even.</param>
    /// <param name="mix">[B, T, H], in the type of <paramref name="x"/>: the mixing logits.</param>
    /// <param name="weight">F32 [H D].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="firstPosition">The position of token 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    /// <param name="layout">Where sequences begin; dense unless given. The token before the first is 0.</param>
    /// <param name="previous">[B, H, D], in the type of <paramref name="x"/>: the token before the first of each row, when a text
    /// is continued (dense layout, no gradient).</param>
    /// <returns>[B, T, H, D], in the type of <paramref name="x"/>; padding gives 0.</returns>
    /// <exception cref="OperandException">The shapes or types do not match.</exception>
    public static Tensor Apply(
        Tape tape,
        Tensor x,
        Tensor mix,
        Tensor weight,
        float epsilon = 1e-6f,
        long firstPosition = 0,
        float frequencyBase = 10_000,
        SequenceLayout? layout = null,
        Tensor? previous = null) =>
        Apply(tape, x, mix, weight, epsilon, [firstPosition], frequencyBase, layout, previous);

    /// <summary>The same for texts of which each is at a position of its own: one for all rows of x, or B of them.</summary>
    internal static Tensor Apply(
        Tape tape,
        Tensor x,
        Tensor mix,
        Tensor weight,
        float epsilon,
        ReadOnlySpan<long> firstPositions,
        float frequencyBase,
        SequenceLayout? layout,
        Tensor? previous)
    {
        layout ??= SequenceLayout.Dense;
        TokenShift.Require(nameof(ShiftNormRotary), x, mix, layout, previous);
        RmsNormRotary.Require(nameof(ShiftNormRotary), x, weight, firstPositions);
        if (x.Device.IsCpu || !ShiftedRowsCuda.Fits(x))
        {
            Tensor shifted = TokenShift.Apply(tape, x, mix, layout, previous);
            return RmsNormRotary.Apply(tape, shifted, weight, epsilon, firstPositions, frequencyBase);
        }

        Segment[] segments = layout.Segments(nameof(ShiftNormRotary), x.Shape[0], x.Shape[1]);
        Tensor angles = RotaryTable.Of(tape, x, firstPositions, frequencyBase);
        return ApplyFused(tape, x, mix, weight, new(x, mix, layout, segments, previous, new(weight, angles, epsilon)));
    }

    // By itself, so that the way past it makes no room for what its gradient needs.
    private static Tensor ApplyFused(Tape tape, Tensor x, Tensor mix, Tensor weight, ShiftedRowsCuda kernel)
    {
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        kernel.Forward(y);
        if (tape.NeedsGradient(x, mix, weight))
        {
            tape.Record(nameof(ShiftNormRotary), y, dy =>
            {
                Tensor? dx = tape.Accumulator(x, out bool storeDx), dmix = tape.Accumulator(mix, out bool storeDmix);
                Tensor? dweight = tape.Accumulator(weight, out bool storeDweight);
                kernel.Backward(dy, dx, storeDx, dmix, storeDmix, dweight, storeDweight);
            });
        }

        return y;
    }
}
