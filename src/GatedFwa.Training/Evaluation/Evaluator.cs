using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tokenizers;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Evaluation;

/// <summary>
/// Measures a model on text, in pieces: memory does not grow with the text, and the same text gives the same bits every time.
/// </summary>
public static class Evaluator
{
    /// <summary>Tokens that pass through the model at once, and the context of a model that no window bounds, unless given.</summary>
    public const int DefaultContext = 1024;

    /// <summary>Predicts every byte of a text from those before it.</summary>
    /// <param name="model">A byte model. If a window bounds what it sees, its cache slides over the whole text, across documents; if not,
    /// each <paramref name="context"/> of the text stands for itself, since such a model has learned no longer one.</param>
    /// <param name="text">The text.</param>
    /// <param name="context">Tokens that pass through the model at once.</param>
    /// <param name="cancellation">Stops between pieces.</param>
    /// <exception cref="InputException">The text is empty, or the model is none of bytes.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public static EvaluationResult Evaluate(
        LanguageModel model, TokenStream text, int context = DefaultContext, CancellationToken cancellation = default)
    {
        Check(model, text);
        using DecodeState? state = model.Config.IsBounded ? model.NewState() : null;
        double nats = 0;
        for (long start = 0; start < text.Length - 1; start += context)
        {
            cancellation.ThrowIfCancellationRequested();
            nats += Piece(model, text, (int)start, (int)Math.Min(context, text.Length - 1 - start), state);
        }

        return new EvaluationResult(nats, text.TextBytes);
    }

    /// <summary>Refuses what cannot be measured.</summary>
    /// <exception cref="InputException">The text is empty, or the model is none of bytes.</exception>
    internal static void Check(LanguageModel model, TokenStream text)
    {
        RequireBytes(model);
        if (text.TextBytes == 0) throw new InputException("There is no text to evaluate on; name at least one text file.");
    }

    /// <summary>Refuses a model whose tokens are fewer than bytes and boundary.</summary>
    /// <exception cref="InputException">They are.</exception>
    internal static void RequireBytes(LanguageModel model)
    {
        if (model.Config.VocabularySize >= ByteTokenizer.VocabularySize) return;
        throw new InputException(
            $"The model knows {model.Config.VocabularySize} tokens where bytes need {ByteTokenizer.VocabularySize}; " +
            "give a model of bytes.");
    }

    /// <summary>Tokens and what follows each of them, from a place of the text on.</summary>
    /// <returns>Both, a boundary among the targets as −1, and how many targets are bytes.</returns>
    internal static (int[] Tokens, int[] Targets, int Counted) Read(TokenStream text, int start, int length)
    {
        int[] tokens = new int[length], targets = new int[length];
        text.CopyTo(start, tokens);
        text.CopyTo(start + 1, targets);
        int counted = 0;
        for (int i = 0; i < length; i++)
        {
            // That a document ends is nothing that its bytes cost.
            if (targets[i] == ByteTokenizer.Boundary) targets[i] = -1;
            else counted++;
        }

        return (tokens, targets, counted);
    }

    private static double Piece(LanguageModel model, TokenStream text, int start, int length, DecodeState? state)
    {
        (int[] tokens, int[] targets, int counted) = Read(text, start, length);
        using var tape = new Tape(recording: false);
        Tensor loss = model.Loss(
            tape,
            tape.Own(Tensor.From(tokens, [1, length], model.Device)),
            tape.Own(Tensor.From(targets, [1, length], model.Device)),
            state: state);
        return (double)loss.Item() * counted;
    }
}
