using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y_t = a_t x_t + (1 − a_t) x_{t−1} with a = sigmoid(mix), per key head (docs/operator.md, "The layer").</summary>
public static class TokenShift
{
    /// <summary>Mixes each token with the one before it in its sequence.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">Activations [B, T, H, D].</param>
    /// <param name="mix">[B, T, H], in the type of <paramref name="x"/>: the mixing logits.</param>
    /// <param name="layout">Where sequences begin; dense unless given. The token before the first is 0.</param>
    /// <param name="previous">[B, H, D], in the type of <paramref name="x"/>: the token before the first of each row, when a text
    /// is continued (dense layout, no gradient).</param>
    /// <returns>[B, T, H, D], in the type of <paramref name="x"/>; padding gives 0.</returns>
    /// <exception cref="OperandException">The shapes or types do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor mix, SequenceLayout? layout = null, Tensor? previous = null)
    {
        layout ??= SequenceLayout.Dense;
        Require(nameof(TokenShift), x, mix, layout, previous);
        Segment[] segments = layout.Segments(nameof(TokenShift), x.Shape[0], x.Shape[1]);
        Tensor y = tape.Allocate(x.Shape, x.Type, x.Device);
        if (x.Device.IsCpu)
        {
            if (!layout.CoversEverything) y.Clear();
            TokenShiftCpu.Forward(x, mix, segments, previous, y);
        }
        else
        {
            TokenShiftCuda.Forward(x, mix, layout, segments, previous, y);
        }

        if (tape.NeedsGradient(x, mix)) tape.Record(nameof(TokenShift), y, dy => Backward(tape, x, mix, layout, segments, previous, dy));
        return y;
    }

    /// <summary>Refuses what cannot be shifted; whether the layout fits shows when its segments are asked for.</summary>
    internal static void Require(string operation, Tensor x, Tensor mix, SequenceLayout layout, Tensor? previous)
    {
        Operands.RequireActivations(operation, x, mix, previous);
        if (x.Shape.Rank != 4) throw new OperandException(operation, "x of shape [B, T, H, D]", $"{x.Shape}");
        (int batch, int tokens, int heads, int size) = (x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]);
        if (mix.Shape != [batch, tokens, heads])
            throw new OperandException(operation, $"a mix of shape [{batch}, {tokens}, {heads}] for x {x.Shape}", $"{mix.Shape}");
        if (previous is not null && previous.Shape != [batch, heads, size])
        {
            throw new OperandException(
                operation,
                $"previous of shape [{batch}, {heads}, {size}] for x {x.Shape}",
                $"{previous.Shape}");
        }

        if (previous is not null && !layout.IsDense)
            throw new OperandException(operation, "a dense layout where a text is continued", "packed or padded rows");
    }

    private static void Backward(
        Tape tape, Tensor x, Tensor mix, SequenceLayout layout, Segment[] segments, Tensor? previous, Tensor dy)
    {
        Tensor? dx = tape.Accumulator(x, out bool storeDx);
        if (!dy.Device.IsCpu)
        {
            Tensor? dmix = tape.Accumulator(mix, out bool storeDmix);
            TokenShiftCuda.Backward(x, mix, layout, segments, previous, dy, dx, storeDx, dmix, storeDmix);
            return;
        }

        // Nobody writes the gradient of padding.
        if (storeDx && !layout.CoversEverything)
        {
            dx!.Clear();
            storeDx = false;
        }

        TokenShiftCpu.Backward(x, mix, segments, previous, dy, dx, storeDx, tape.Accumulator(mix));
    }
}
