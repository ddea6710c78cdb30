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
public sealed partial class LanguageModel : IDisposable
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
        {
            string types = device.IsCpu ? "F32" : "BF16, F16 or F32";
            throw new InputException($"A model on {device} cannot compute in {Activations}; use {types}.");
        }

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

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private static void CheckTokens(Tensor tokens)
    {
        if (tokens.Shape.Rank != 2 || tokens.Type != DType.I32 || tokens.Count == 0)
            throw new OperandException(nameof(LanguageModel), "I32 tokens [B, T], T ≥ 1", $"{tokens.Type} {tokens.Shape}");
    }

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
        if (Config.Dropout > 0 && dropout is { } masks) x = Dropout.Apply(tape, x, Config.Dropout, masks.Split(0));
        var stream = new ResidualStream(x);
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
            stream = stream.Through(tape, _blocks[layer], pass);
        }

        if (idle is not null) state!.TakeBack(idle);
        state?.MoveOn(tokens.Shape[1], idle);
        return stream.Norm(tape, _norm, Config.NormEpsilon, out _);
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
}
