using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tokenizers;

namespace GatedFwa.Generation;

/// <summary>
/// Continues texts, a piece at a time. With a windowed model the millionth token takes the memory and the time of the first.
/// </summary>
/// <param name="model">The model; not disposed.</param>
/// <param name="tokenizer">Its tokenizer.</param>
/// <example>
/// <code>
/// var generator = new Generator(model, tokenizer);
/// foreach (string piece in generator.Generate("Once upon a time", new() { MaxTokens = 200 })) Console.Write(piece);
/// </code>
/// </example>
public sealed class Generator(LanguageModel model, ByteTokenizer tokenizer)
{
    private const int ShortestPiece = 64;
    private const int LongestPiece = 512;

    /// <summary>Continues a prompt. The prompt begins a document; it is not repeated in the result.</summary>
    /// <param name="prompt">The beginning of the text; may be empty.</param>
    /// <param name="options">When to stop and how to draw.</param>
    /// <returns>Pieces of text as they become certain: never half a character, never part of a stop string.</returns>
    /// <exception cref="InputException">An option is out of range, or the model was made for another tokenizer.</exception>
    public IEnumerable<string> Generate(string prompt, GenerationOptions options)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        options.Validate();
        if (model.Config.VocabularySize != ByteTokenizer.VocabularySize)
        {
            throw new InputException(
                $"The model has {model.Config.VocabularySize} tokens and the tokenizer {ByteTokenizer.VocabularySize}; " +
                "use the tokenizer it was trained with.");
        }

        return Continue([ByteTokenizer.Boundary, .. tokenizer.Encode(prompt)], options);
    }

    private IEnumerable<string> Continue(int[] prompt, GenerationOptions options)
    {
        var sampler = new Sampler(options.Sampling);
        foreach (int token in prompt) sampler.Observe(token);
        using DecodeState state = model.NewState();
        var logits = new float[model.Config.VocabularySize];
        Read(prompt, state, logits);

        Utf8StreamDecoder decoder = tokenizer.NewDecoder();
        var scanner = new StopScanner(options.StopStrings);
        for (long count = 0; count < options.MaxTokens; count++)
        {
            int token = sampler.Next(logits);
            if (token == ByteTokenizer.Boundary && options.StopAtBoundary) break;
            string piece = scanner.Push(decoder.Push(token));
            if (piece.Length > 0) yield return piece;
            if (scanner.IsStopped) yield break;
            if (count + 1 < options.MaxTokens) Advance([token], state, logits);
        }

        string rest = scanner.Push(decoder.Finish());
        if (!scanner.IsStopped) rest += scanner.Finish();
        if (rest.Length > 0) yield return rest;
    }

    /// <summary>Feeds the prompt in pieces of about the window, so that memory does not grow with its length.</summary>
    private void Read(int[] prompt, DecodeState state, float[] logits)
    {
        int piece = Math.Clamp(model.Config.Window ?? LongestPiece, ShortestPiece, LongestPiece);
        for (int start = 0; start < prompt.Length; start += piece)
            Advance(prompt.AsSpan(start, Math.Min(piece, prompt.Length - start)), state, logits);
    }

    private void Advance(ReadOnlySpan<int> tokens, DecodeState state, float[] logits)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [1, tokens.Length]));
        model.Advance(tape, state, input).CopyTo(logits);
    }
}
