using GatedFwa.Checkpoints;
using GatedFwa.Tokenizers;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>A text and what may follow it, whose likelihood is asked for.</summary>
/// <param name="Context">What stands before; may be empty.</param>
/// <param name="Text">What follows, its joining space included.</param>
internal readonly record struct Continuation(string Context, string Text)
{
    /// <summary>
    /// The tokens of both, split as lm-evaluation-harness does: spaces at the end of the context belong to the continuation, and the
    /// whole is encoded at once, so that the split never changes the tokens. An empty context is a document's beginning.
    /// </summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="maxLength">What passes through the model at once: tokens beyond it are cut off on the left. Null cuts none.</param>
    /// <exception cref="InputException">The continuation alone is longer.</exception>
    public TokenContinuation Encode(ByteTokenizer tokenizer, int? maxLength)
    {
        string context = PythonText.StripEnd(Context);
        string whole = Context + Text;
        int[] tokens = tokenizer.Encode(whole);
        var encoded = context.Length == 0
            ? new TokenContinuation((int[])[ByteTokenizer.Boundary, .. tokens], 1)
            : new TokenContinuation(tokens, tokenizer.Encode(context).Length);
        if (encoded.Length > maxLength)
        {
            throw new InputException(
                $"The answer {Phrase.Quote(Text)} takes {encoded.Length} tokens, and the model reads {maxLength} at once; " +
                "give it a longer context.");
        }

        return encoded.Truncate(maxLength);
    }
}

/// <summary>Tokens of which the last ones are predicted.</summary>
/// <param name="Tokens">Context and continuation.</param>
/// <param name="Start">The first token of the continuation; at least 1.</param>
internal readonly record struct TokenContinuation(ReadOnlyMemory<int> Tokens, int Start) : IComparable<TokenContinuation>
{
    /// <summary>Tokens to predict.</summary>
    public int Length => Tokens.Length - Start;

    /// <summary>The last tokens: as many as the model reads at once, and the one that it then predicts.</summary>
    public TokenContinuation Truncate(int? maxLength)
    {
        int cut = maxLength is { } most ? Math.Max(0, Tokens.Length - most - 1) : 0;
        return new TokenContinuation(Tokens[cut..], Start - cut);
    }

    /// <summary>Longest first, equal ones side by side.</summary>
    public int CompareTo(TokenContinuation other)
    {
        int order = other.Tokens.Length.CompareTo(Tokens.Length);
        if (order == 0) order = Tokens.Span.SequenceCompareTo(other.Tokens.Span);
        return order != 0 ? order : Start.CompareTo(other.Start);
    }
}
