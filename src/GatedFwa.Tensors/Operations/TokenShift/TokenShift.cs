using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y_t = a_t x_t + (1 − a_t) x_{t−1} with a = sigmoid(mix), per key head (operator.md §4).</summary>
public static class TokenShift
{
    /// <summary>Mixes each token with the one before it in its sequence.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [B, T, H, D].</param>
    /// <param name="mix">F32 [B, T, H]: the mixing logits.</param>
    /// <param name="layout">Where sequences begin; dense unless given. The token before the first is 0.</param>
    /// <param name="previous">F32 [B, H, D]: the token before the first of each row, when a text is continued (dense layout, no gradient).</param>
    /// <returns>F32 [B, T, H, D]; padding gives 0.</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor mix, SequenceLayout? layout = null, Tensor? previous = null) => throw new NotImplementedException();
}
