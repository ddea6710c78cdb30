using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Training.Comparisons;

/// <summary>How much a decoder remembers of one text, measured by feeding it one.</summary>
/// <param name="Sizes">Its size after texts of 64 tokens, twice as many, and so on, until the text is twice as long as the window and
/// no shorter than 2,048.</param>
/// <param name="BytesPerToken">Bytes of each token after the last of them; 0 where the state does not grow any more.</param>
public sealed record DecodeStateSize(IReadOnlyList<StateSize> Sizes, double BytesPerToken)
{
    /// <summary>The length of the text that tables tell the size after.</summary>
    public const int TableTokens = 4096;

    // A state that grows doubles its memory whenever the text has filled it: after these and their doubles it is full.
    private const int FirstTokens = 64;

    // Long enough for what grows to grow evenly.
    private const int LeastTokens = 1024;

    private const int Piece = 512;

    /// <summary>Bytes after a text.</summary>
    /// <param name="tokens">Its length: one of those measured, or a longer one.</param>
    public double After(long tokens)
    {
        StateSize last = Sizes[^1];
        if (tokens >= last.Tokens) return last.Bytes + (BytesPerToken * (tokens - last.Tokens));
        return Sizes.First(size => size.Tokens >= tokens).Bytes;
    }

    /// <summary>Feeds a model.</summary>
    /// <param name="model">The model; its weights do not matter.</param>
    public static DecodeStateSize Measure(LanguageModel model)
    {
        using DecodeState state = model.NewState();
        List<StateSize> sizes = [];
        // Beyond the window, so that what grows after it is told from what fills it.
        long enough = 2L * Math.Max(LeastTokens, model.Config.Window ?? 0);
        for (long tokens = FirstTokens; sizes.Count == 0 || sizes[^1].Tokens < enough; tokens *= 2)
        {
            Feed(model, state, tokens);
            sizes.Add(new(tokens, state.Bytes));
        }

        StateSize before = sizes[^2], last = sizes[^1];
        return new(sizes, (double)(last.Bytes - before.Bytes) / (last.Tokens - before.Tokens));
    }

    private static void Feed(LanguageModel model, DecodeState state, long until)
    {
        while (state.Positions[0] < until)
        {
            using var tape = new Tape(recording: false);
            int length = (int)Math.Min(Piece, until - state.Positions[0]);
            model.Advance(tape, state, tape.Own(Tensor.From(new int[length], [1, length], model.Device)));
        }
    }
}
