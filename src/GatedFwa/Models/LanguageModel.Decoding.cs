using GatedFwa.Generation;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Models;

/// <content>Texts that are continued, a few tokens at a time.</content>
public sealed partial class LanguageModel
{
    /// <summary>Empty texts to <see cref="Advance(Tape, DecodeState, Tensor)"/>.</summary>
    /// <param name="batch">How many texts advance together.</param>
    /// <exception cref="ArgumentOutOfRangeException">The batch is below 1.</exception>
    public DecodeState NewState(int batch = 1) => new(Config, batch, Device, Activations);

    /// <summary>
    /// Feeds tokens that continue texts, as many to each. Any split of a text into calls gives the same scores as one pass over all of it.
    /// </summary>
    /// <param name="tape">Owns the result; opened for inference.</param>
    /// <param name="state">The texts so far, B rows, of any lengths; afterwards it holds the tokens, too.</param>
    /// <param name="tokens">I32 [B, T], T ≥ 1. A long prompt is best fed in pieces of about the window.</param>
    /// <returns>F32 [B, V]: the scores of the token after the last.</returns>
    /// <exception cref="OperandException">The shapes do not match, a token is out of range, or the tape records; the texts are then as
    /// they were. After any exception but an <see cref="ArgumentException"/> the state is not defined until it is reset.</exception>
    public Tensor Advance(Tape tape, DecodeState state, Tensor tokens)
    {
        ArgumentNullException.ThrowIfNull(state);
        CheckTokens(tokens);
        state.CheckContinuation(Config, tape, tokens.Shape, null);
        return tokens.Shape[1] == 1 ? Step(tape, state, tokens) : Continue(tape, state, tokens);
    }

    /// <summary>
    /// Feeds tokens that continue texts, to each as many as it has: prompts of different lengths, texts that have ended, and new ones in
    /// the place of others (<see cref="DecodeState.Reset(int)"/>). Each text's scores are those it would have alone.
    /// </summary>
    /// <remarks>
    /// If every text is given all T tokens, they are read at once where T is 1, or all texts are equally long, or each holds at least
    /// W − 1 tokens; with native sparse attention only where all are equally long. Otherwise texts that are given one token advance
    /// together, but not with native sparse attention, and every other text is read by itself, even if several are given as many. A text
    /// that is given nothing while others advance together costs what it would cost with a token.
    /// </remarks>
    /// <param name="tape">Owns the result; opened for inference.</param>
    /// <param name="state">The texts so far, B rows; afterwards it holds the tokens, too.</param>
    /// <param name="tokens">I32 [B, T], T ≥ 1: of each row the first ones count, and the rest may be anything.</param>
    /// <param name="lengths">B numbers in 0 … T: how many tokens each text is given. With 0 it stays as it is.</param>
    /// <returns>F32 [B, V]: the scores of the token after each text's last; zeros for a text that was given none.</returns>
    /// <exception cref="OperandException">The shapes or lengths do not match, a token is out of range, or the tape records; the texts are
    /// then as they were. After any exception but an <see cref="ArgumentException"/> the state is not defined until it is
    /// reset.</exception>
    /// <example>
    /// <code>
    /// Tensor scores = model.Advance(tape, state, prompts, lengths: [12, 3, 40]);   // prompts [3, 40], padded on the right
    /// scores = model.Advance(tape, state, drawn);                                  // [3, 1]: one step for all
    /// state.Reset(text: 1);                                                        // it has ended; another begins
    /// scores = model.Advance(tape, state, next, lengths: [1, 25, 0]);
    /// </code>
    /// </example>
    public Tensor Advance(Tape tape, DecodeState state, Tensor tokens, ReadOnlySpan<int> lengths)
    {
        ArgumentNullException.ThrowIfNull(state);
        CheckTokens(tokens);
        state.CheckContinuation(Config, tape, tokens.Shape, null);
        (int batch, int most) = (tokens.Shape[0], tokens.Shape[1]);
        if (lengths.Length != batch || lengths.ContainsAnyExceptInRange(0, most))
        {
            throw new OperandException(
                nameof(Advance), $"{batch} lengths in 0 … {most} for tokens {tokens.Shape}", $"[{string.Join(", ", lengths.ToArray())}]");
        }

        if (!lengths.ContainsAnyExcept(most)) return Advance(tape, state, tokens);
        int[] counts = lengths.ToArray();
        return tape.Scoped(() => AdvanceEach(tape, state, Fed(tape, tokens, counts), counts));
    }

    /// <summary>Tokens where the model is, all in range as far as the host can see: what is not fed is made token 0.</summary>
    private Tensor Fed(Tape tape, Tensor tokens, int[] lengths)
    {
        if (!tokens.Device.IsCpu) return Embedding.OnDevice(tape, tokens, _embedding);
        int most = tokens.Shape[1];
        int[] fed = tokens.AsIntegerSpan().ToArray();
        for (int text = 0; text < lengths.Length; text++) Array.Clear(fed, (text * most) + lengths[text], most - lengths[text]);
        return Embedding.OnDevice(tape, tape.Own(Tensor.From(fed, tokens.Shape)), _embedding);
    }

    /// <summary>Those who get one token in one step, the others by themselves.</summary>
    private Tensor AdvanceEach(Tape tape, DecodeState state, Tensor tokens, int[] lengths)
    {
        (int most, int vocabulary) = (tokens.Shape[1], Config.VocabularySize);
        bool[]? idle = IdleInStep(state, lengths);
        Tensor scores = idle is null
            ? tape.Allocate([state.Batch, vocabulary], DType.F32, Device)
            : Step(tape, state, FirstTokens(tape, tokens), idle);
        for (int text = 0; text < lengths.Length; text++)
        {
            if (idle is not null && !idle[text]) continue;
            Tensor row = scores.Window((long)text * vocabulary, [1, vocabulary]);
            if (lengths[text] == 0) row.Clear();
            else row.CopyFrom(Continue(tape, state.Text(text), tokens.Window((long)text * most, [1, lengths[text]])));
        }

        return scores;
    }

    /// <summary>Who sits out the step of those who get one token; null where there is none, or each of them is better off alone.</summary>
    private bool[]? IdleInStep(DecodeState state, int[] lengths)
    {
        int steps = lengths.Count(length => length == 1);
        bool isWorthwhile = Config.NativeSparse is null && (steps > 1 || (steps == 1 && DecodeStep.Serves(this, state.Batch)));
        return isWorthwhile ? [.. lengths.Select(length => length != 1)] : null;
    }

    /// <summary>The first column of [B, T].</summary>
    private static Tensor FirstTokens(Tape tape, Tensor tokens)
    {
        (int batch, int most) = (tokens.Shape[0], tokens.Shape[1]);
        if (most == 1) return tokens;
        Tensor first = tape.Allocate([batch, 1], tokens.Type, tokens.Device);
        for (int text = 0; text < batch; text++) first.Window(text, [1]).CopyFrom(tokens.Window((long)text * most, [1]));
        return first;
    }

    /// <summary>The scores after one token a text, [B, 1]; those of idle texts are anything.</summary>
    private Tensor Step(Tape tape, DecodeState state, Tensor tokens, bool[]? idle = null) =>
        DecodeStep.Serves(this, state.Batch) ? state.StepOf(this).Advance(tape, tokens, idle) : Continue(tape, state, tokens, idle);

    /// <summary>The scores after the last of tokens [B, T].</summary>
    private Tensor Continue(Tape tape, DecodeState state, Tensor tokens, bool[]? idle = null) => tape.Scoped(() =>
        Linear.Apply(tape, LastToken(tape, Features(tape, tokens, null, null, state, idle: idle)), _head, resultType: DType.F32));

    /// <summary>[B, T, C] → [B, C], for inference.</summary>
    private Tensor LastToken(Tape tape, Tensor features)
    {
        int batch = features.Shape[0];
        if (features.Shape[1] == 1) return tape.View(features, [batch, Config.Width]);
        Tensor last = tape.Allocate([batch, Config.Width], features.Type, Device);
        LayerState.Remember(features, last);
        return last;
    }
}
