using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = table[token].</summary>
public static class Embedding
{
    /// <summary>Looks up a row for each token.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="tokens">I32 [...], each in 0 … V − 1.</param>
    /// <param name="table">F32 [V, C].</param>
    /// <returns>F32 [..., C].</returns>
    /// <exception cref="OperandException">The shapes or types do not match, or a token is out of range.</exception>
    public static Tensor Apply(Tape tape, Tensor tokens, Tensor table)
    {
        Operands.RequireFloats(nameof(Embedding), table);
        if (tokens.Type != DType.I32) throw new OperandException(nameof(Embedding), $"tokens of {DType.I32}", $"{tokens.Type}");
        if (table.Shape.Rank != 2) throw new OperandException(nameof(Embedding), "a table of shape [V, C]", $"{table.Shape}");
        int vocabulary = table.Shape[0];
        int stranger = tokens.AsIntegerSpan().IndexOfAnyExceptInRange(0, vocabulary - 1);
        if (stranger >= 0)
        {
            throw new OperandException(
                nameof(Embedding),
                $"tokens in 0 … {vocabulary - 1}",
                $"{tokens.AsIntegerSpan()[stranger]} at position {stranger}");
        }

        Tensor y = tape.Allocate([.. tokens.Shape, table.Shape[1]], DType.F32, table.Device);
        EmbeddingCpu.Forward(tokens, table, y);
        if (tape.NeedsGradient(table)) tape.Record(nameof(Embedding), y, dy => EmbeddingCpu.Backward(tokens, dy, tape.Accumulator(table)!));
        return y;
    }
}
