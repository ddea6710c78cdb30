using GatedFwa.Generation;
using GatedFwa.Layers;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Models;

/// <summary>
/// An autoregressive language model of pre-norm blocks (docs/operator.md, "The layer"): embedding, L × (attention, SwiGLU), norm,
/// output projection.
/// </summary>
/// <example>
/// <code>
/// using var model = new LanguageModel(ModelConfig.Preset("tiny"));
/// using (var tape = new Tape()) tape.Backward(model.Loss(tape, tokens, targets));
///
/// using DecodeState state = model.NewState();
/// using (var tape = new Tape(recording: false)) float[] logits = model.Advance(tape, state, prompt).ToArray();
/// </code>
/// </example>
public sealed class LanguageModel : IDisposable
{
    private readonly ParameterMemory _memory;
    private readonly TransformerBlock[] _blocks;
    private readonly Parameter _embedding;
    private readonly Parameter _norm;
    private readonly Parameter _head;

    /// <summary>Makes a model with random weights: functions of the seed and each parameter's name alone, so that neither threads nor
    /// other options change them.</summary>
    /// <param name="config">Its configuration.</param>
    /// <param name="seed">Names the weights.</param>
    /// <param name="device">Where it lives; the CPU unless given.</param>
    /// <param name="activations">The type of activations: F32 on the CPU; on a GPU BF16 unless given, or F32 or F16. Weights are F32
    /// everywhere, and products read a copy of them in this type.</param>
    /// <exception cref="InputException">The configuration makes no model, or the CPU is asked for another type than F32.</exception>
    public LanguageModel(ModelConfig config, ulong seed = 0, Device device = default, DType? activations = null)
        : this(config, device, activations) => ParameterInitialiser.Fill(Parameters, ParameterPlan.Of(config), seed);

    private LanguageModel(ModelConfig config, Device device, DType? activations)
    {
        Config = config.Validate();
        Device = device;
        Activations = activations ?? DefaultActivations(device);
        if (Activations == DType.I32 || (device.IsCpu && Activations != DType.F32))
            throw new InputException($"A model on {device} cannot compute in {Activations}; use {(device.IsCpu ? "F32" : "BF16, F16 or F32")}.");
        _memory = new ParameterMemory([.. ParameterPlan.Of(config)], device);
        var byName = new ParameterSet(Parameters);
        _embedding = byName["embedding.weight"];
        _blocks = [.. Enumerable.Range(0, config.Layers).Select(layer => new TransformerBlock(config, byName.In($"layers.{layer}")))];
        _norm = byName["norm.weight"];
        _head = config.TiedEmbedding ? _embedding : byName["head.weight"];
    }

    /// <summary>Its configuration.</summary>
    public ModelConfig Config { get; }

    /// <summary>Where it lives.</summary>
    public Device Device { get; }

    /// <summary>The type of activations.</summary>
    public DType Activations { get; }

    /// <summary>All that is learned, in the order of the forward pass.</summary>
    public IReadOnlyList<Parameter> Parameters => _memory.Parameters;

    /// <summary>The number of learned numbers.</summary>
    public long ParameterCount => Parameters.Sum(parameter => parameter.Value.Count);

    /// <summary>The type of activations where none is given.</summary>
    internal static DType DefaultActivations(Device device) => device.IsCpu ? DType.F32 : DType.BF16;

    /// <summary>A model whose weights are not set: for a loader that sets them all.</summary>
    /// <param name="config">Its configuration.</param>
    /// <param name="device">Where it lives; the CPU unless given.</param>
    /// <param name="activations">The type of activations, as in the constructor.</param>
    /// <exception cref="InputException">The configuration makes no model.</exception>
    internal static LanguageModel Uninitialised(ModelConfig config, Device device = default, DType? activations = null) =>
        new(config, device, activations);

    /// <summary>The mean negative log-likelihood of the targets.</summary>
    /// <param name="tape">Owns the result and records the operations.</param>
    /// <param name="tokens">I32 [B, T].</param>
    /// <param name="targets">I32 [B, T]: the token after each; a negative one is ignored. Where they lie on the CPU and most are
    /// ignored, logits are made of the others alone.</param>
    /// <param name="layout">Where documents lie; one a row unless given.</param>
    /// <param name="perToken">F32 [B, T]: receives each token's loss in nats (0 where ignored), when given.</param>
    /// <param name="dropout">The stream of the dropout masks; none are applied without it.</param>
    /// <param name="state">A text these tokens continue, and which they then belong to; dense layout and an inference tape only.</param>
    /// <param name="accuracy">F32 scalar: receives the share of those targets that the model finds likeliest, when given.</param>
    /// <returns>F32 scalar: the mean loss in nats over targets that are not ignored.</returns>
    /// <exception cref="OperandException">The shapes do not match, or a token is out of range.</exception>
    public Tensor Loss(
        Tape tape,
        Tensor tokens,
        Tensor targets,
        SequenceLayout? layout = null,
        Tensor? perToken = null,
        CounterRandom? dropout = null,
        DecodeState? state = null,
        Tensor? accuracy = null) =>
        MeanLoss(tape, tokens.Shape, Features(tape, tokens, layout, dropout, state), targets, perToken, accuracy);

    /// <summary>The mean loss as <see cref="Loss"/> gives it, under the eyes of an observer.</summary>
    internal Tensor ObservedLoss(Tape tape, Tensor tokens, Tensor targets, IForwardObserver observer) =>
        MeanLoss(tape, tokens.Shape, Features(tape, tokens, null, null, null, observer), targets, null, null);

    /// <summary>Passes tokens [B, T] through the layers for the observer's sake alone.</summary>
    internal void Observe(Tape tape, Tensor tokens, IForwardObserver observer) => Features(tape, tokens, null, null, null, observer);

    /// <summary>
    /// The scores of every next token after every token; <see cref="Loss"/> and <see cref="Advance(Tape, DecodeState, Tensor)"/>
    /// avoid making so many.
    /// </summary>
    /// <param name="tape">Owns the result and records the operations.</param>
    /// <param name="tokens">I32 [B, T].</param>
    /// <param name="layout">Where documents lie; one a row unless given.</param>
    /// <param name="state">A text these tokens continue, and which they then belong to; dense layout and an inference tape only.</param>
    /// <returns>F32 [B, T, V].</returns>
    /// <exception cref="OperandException">The shapes do not match, or a token is out of range.</exception>
    public Tensor Logits(Tape tape, Tensor tokens, SequenceLayout? layout = null, DecodeState? state = null) =>
        Linear.Apply(tape, Features(tape, tokens, layout, null, state), _head, resultType: DType.F32);

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
    /// <exception cref="OperandException">The shapes do not match, a token is out of range, or the tape records.</exception>
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
    /// <remarks>Texts that are given one token advance together, and so do all if they are given as many and are equally long or fill
    /// their windows; other prompts are read one after the other, and with native sparse attention so is everything that differs. A text
    /// that is given nothing while others advance together costs what it would cost with a token.</remarks>
    /// <param name="tape">Owns the result; opened for inference.</param>
    /// <param name="state">The texts so far, B rows; afterwards it holds the tokens, too.</param>
    /// <param name="tokens">I32 [B, T], T ≥ 1: of each row the first ones count, and the rest may be anything.</param>
    /// <param name="lengths">B numbers in 0 … T: how many tokens each text is given. With 0 it stays as it is.</param>
    /// <returns>F32 [B, V]: the scores of the token after each text's last; zeros for a text that was given none.</returns>
    /// <exception cref="OperandException">The shapes or lengths do not match, a token is out of range, or the tape records; the texts are
    /// then as they were.</exception>
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

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private static void CheckTokens(Tensor tokens)
    {
        if (tokens.Shape.Rank != 2 || tokens.Type != DType.I32 || tokens.Count == 0)
            throw new OperandException(nameof(LanguageModel), "I32 tokens [B, T], T ≥ 1", $"{tokens.Type} {tokens.Shape}");
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

    /// <summary>Normalised features [B, T, C].</summary>
    private Tensor Features(
        Tape tape,
        Tensor tokens,
        SequenceLayout? layout,
        CounterRandom? dropout,
        DecodeState? state,
        IForwardObserver? observer = null,
        bool[]? idle = null)
    {
        CheckTokens(tokens);
        state?.CheckContinuation(Config, tape, tokens.Shape, layout);
        if (state?.AdvancesAtOnce(tokens.Shape[1]) == false) return FeaturesOfEach(tape, tokens, state);

        Tensor x = Embedding.Apply(tape, tokens, _embedding, Activations);
        observer?.Embedded(tape, x);
        if (Config.Dropout > 0 && dropout is { } stream) x = Dropout.Apply(tape, x, Config.Dropout, stream.Split(0));
        for (int layer = 0; layer < _blocks.Length; layer++)
        {
            var pass = new ForwardPass(
                layout ?? SequenceLayout.Dense,
                dropout?.Split((ulong)layer + 1),
                state?.NextPositions ?? ForwardPass.Beginning,
                state?.Layers[layer],
                layer,
                observer,
                idle);
            x = tape.Scoped((Block: _blocks[layer], Tape: tape, X: x, Pass: pass), static part => part.Block.Apply(part.Tape, part.X, part.Pass));
        }

        if (idle is not null) state!.TakeBack(idle);
        state?.MoveOn(tokens.Shape[1], idle);
        return RmsNorm.Apply(tape, x, _norm, Config.NormEpsilon);
    }

    /// <summary>The same for texts that cannot advance at once: one after the other.</summary>
    private Tensor FeaturesOfEach(Tape tape, Tensor tokens, DecodeState state)
    {
        int length = tokens.Shape[1];
        tokens = Embedding.OnDevice(tape, tokens, _embedding);
        Tensor features = tape.Allocate([state.Batch, length, Config.Width], Activations, Device);
        for (int text = 0; text < state.Batch; text++)
        {
            Tensor own = tokens.Window((long)text * length, [1, length]);
            DecodeState alone = state.Text(text);
            Tensor row = features.Window((long)text * length * Config.Width, [1, length, Config.Width]);
            tape.Scoped(() =>
            {
                row.CopyFrom(Features(tape, own, null, null, alone));
                return features;
            });
        }

        return features;
    }

    /// <summary>The mean loss of targets [B, T] after normalised features x.</summary>
    private Tensor MeanLoss(Tape tape, Shape tokens, Tensor x, Tensor targets, Tensor? perToken, Tensor? accuracy)
    {
        if (perToken is null && Counted(targets, tokens) is { } counted)
        {
            x = SelectRows.Apply(tape, x, tape.Own(Tensor.From(counted, [counted.Length])));
            ReadOnlySpan<int> all = targets.AsIntegerSpan();
            var kept = new int[counted.Length];
            for (int i = 0; i < kept.Length; i++) kept[i] = all[counted[i]];
            targets = tape.Own(Tensor.From(kept, [kept.Length]));
        }

        return LinearCrossEntropy.Apply(tape, x, _head, targets, perToken, accuracy);
    }

    /// <summary>Where targets on the CPU are not ignored, if those are so few that it pays to look at them alone.</summary>
    private static int[]? Counted(Tensor targets, Shape tokens)
    {
        if (!targets.Device.IsCpu || targets.Type != DType.I32 || targets.Count != tokens.Count) return null;
        ReadOnlySpan<int> all = targets.AsIntegerSpan();
        int count = 0;
        foreach (int target in all) count += target >= 0 ? 1 : 0;
        if (count == 0 || count > all.Length / 2) return null;
        var counted = new int[count];
        for (int i = 0, next = 0; i < all.Length; i++)
        {
            if (all[i] >= 0) counted[next++] = i;
        }

        return counted;
    }

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
