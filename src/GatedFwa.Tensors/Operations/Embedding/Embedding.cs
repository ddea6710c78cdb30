using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>y = table[token].</summary>
public static class Embedding
{
    /// <summary>Looks up a row for each token.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="tokens">I32 [...], each in 0 … V − 1. On the CPU they are checked, wherever the table lies. On a GPU they cannot be
    /// without waiting for it: a token out of range gives a row of NaN there.</param>
    /// <param name="table">F32 [V, C].</param>
    /// <param name="type">The type of the result; on the CPU F32.</param>
    /// <returns>[..., C], on the table's device.</returns>
    /// <exception cref="OperandException">The shapes or types do not match, or a token is out of range.</exception>
    public static Tensor Apply(Tape tape, Tensor tokens, Tensor table, DType type = DType.F32)
    {
        Operands.RequireFloats(nameof(Embedding), table);
        Operands.RequireActivations(nameof(Embedding), type, table.Device);
        if (table.Shape.Rank != 2) throw new OperandException(nameof(Embedding), "a table of shape [V, C]", $"{table.Shape}");
        tokens = OnDevice(tape, tokens, table);

        Tensor y = tape.Allocate([.. tokens.Shape, table.Shape[1]], type, table.Device);
        if (y.Device.IsCpu) EmbeddingCpu.Forward(tokens, table, y);
        else EmbeddingCuda.Forward(tokens, table, y);

        if (tape.NeedsGradient(table))
        {
            tape.Record(nameof(Embedding), y, dy =>
            {
                if (dy.Device.IsCpu) EmbeddingCpu.Backward(tokens, dy, tape.Accumulator(table)!);
                else EmbeddingCuda.Backward(tokens, dy, tape.Accumulator(table)!);
            });
        }

        return y;
    }

    /// <summary>Tokens where their table is; checked while the host can see them.</summary>
    internal static Tensor OnDevice(Tape tape, Tensor tokens, Tensor table)
    {
        RequireTokens(tokens, table);
        if (!tokens.Device.IsCpu) Operands.RequireOneDevice(nameof(Embedding), tokens, table);
        return tokens.Device == table.Device ? tokens : tape.Own(Tensor.From(tokens.AsIntegerSpan(), tokens.Shape, table.Device));
    }

    /// <summary>Refuses what is no token of a table, as far as the host can see.</summary>
    internal static void RequireTokens(Tensor tokens, Tensor table)
    {
        if (tokens.Type != DType.I32) throw new OperandException(nameof(Embedding), $"tokens of {DType.I32}", $"{tokens.Type}");
        if (tokens.Device.IsCpu) RequireRange(tokens.AsIntegerSpan(), table.Shape[0]);
    }

    private static void RequireRange(ReadOnlySpan<int> tokens, int vocabulary)
    {
        int stranger = tokens.IndexOfAnyExceptInRange(0, vocabulary - 1);
        if (stranger >= 0)
            throw new OperandException(nameof(Embedding), $"tokens in 0 … {vocabulary - 1}", $"{tokens[stranger]} at position {stranger}");
    }
}
