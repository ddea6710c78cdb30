using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Generation;

/// <summary>
/// One token a text on a GPU: five kernels a layer, each of which begins to read its weights while the one before still runs, and a
/// graph that repeats all layers at one call of the host. Where the texts are and how long, the kernels read from memory.
/// </summary>
/// <remarks>The residual stream and the projections stay float32; otherwise it computes what <see cref="Layers.TransformerBlock"/>
/// does.</remarks>
internal sealed class DecodeStep : IDisposable
{
    private static readonly KernelSource Source = new(typeof(DecodeStep), "decode_begin.cu");

    private readonly ModelConfig _config;
    private readonly DecodeState _state;
    private readonly CudaDevice _device;
    private readonly DType _type;
    private readonly DecodeLayer[] _layers;
    private readonly Parameter _embedding, _norm, _head;
    private readonly DecodeProduct _product;
    private readonly DecodeCursors _cursors;
    private readonly CudaStorage _frequencies, _angles;
    private readonly CudaStorage? _scratch;
    private readonly RingDecodeCuda.Plan[] _attention;
    private readonly Tensor _x, _projections, _attended, _hidden;
    private readonly DecodeProduct.NormedStream? _normed;
    private readonly DecodeText? _text;
    private CudaGraph? _graph;
    private bool _ranBefore;

    /// <summary>Takes the memory of a step.</summary>
    public DecodeStep(LanguageModel model, DecodeState state)
    {
        (Model, _config, _state, _type) = (model, model.Config, state, model.Activations);
        _device = CudaDevice.Get(model.Device.Index);
        var parameters = new ParameterSet(model.Parameters);
        _embedding = parameters["embedding.weight"];
        _norm = parameters["norm.weight"];
        _head = _config.TiedEmbedding ? _embedding : parameters["head.weight"];
        _layers = [.. Enumerable.Range(0, _config.Layers).Select(layer => new DecodeLayer(_config, parameters.In($"layers.{layer}")))];
        _product = new DecodeProduct(_type, _config.NormEpsilon);

        int batch = state.Batch;
        KeyValueRing ring = state.Layers[0].Ring;
        Tensor Room(int width, DType type) => Tensor.Empty([batch, width], type, model.Device);
        _cursors = new DecodeCursors(_device, batch);
        _x = Room(_config.Width, DType.F32);
        _normed = DecodeProduct.NormedStream.For(batch, _config.Width, _type, model.Device);
        _projections = Room(_layers[0].ProjectedWidth, DType.F32);
        _hidden = Room(_config.FeedForwardWidth, _type);
        _attended = Tensor.Empty(ring.QueryShape, _type, model.Device);
        _attention =
        [
            .. state.Layers.Select(
                layer => new RingDecodeCuda.Plan(_device, layer.Ring, ring.Keys.Capacity, joins: false, isMany: _normed is not null)),
        ];
        _scratch = _attention[0].ScratchBytes == 0 ? null : _device.Memory.Rent(_attention[0].ScratchBytes);
        double[] frequencies = RotaryTable.Frequencies(_config.HeadSize, _config.RotaryBase);
        _frequencies = _device.Memory.Rent(frequencies.Length * sizeof(double));
        _frequencies.CopyFromHost(MemoryMarshal.AsBytes(frequencies.AsSpan()), 0);
        _angles = _device.Memory.Rent((long)batch * _config.HeadSize * sizeof(float));
        _text = DecodeText.For(_config, _device, _type, _layers, state);
    }

    /// <summary>The model whose weights it reads.</summary>
    public LanguageModel Model { get; }

    /// <summary>Whether a model's states of so many texts advance by this: on a GPU, few texts, memory that a window
    /// bounds (that of a text must not move), feed-forwards and widths that are read 16 bytes at a time.</summary>
    public static bool Serves(LanguageModel model, int batch) =>
        !model.Device.IsCpu && batch <= DecodeProduct.MostRows && model.Config.IsBounded &&
        model.Config.FeedForwardWidth > 0 && model.Config.FeedForwardWidth % DecodeProduct.Alignment == 0;

    /// <summary>Feeds one token a text.</summary>
    /// <param name="tape">Owns the result.</param>
    /// <param name="tokens">I32 [B, 1].</param>
    /// <param name="idle">Texts that stay as they are, whatever their token; none unless given.</param>
    /// <returns>F32 [B, V]: the scores of the next token; of idle texts anything.</returns>
    /// <exception cref="OperandException">A token that the host can see is out of range.</exception>
    public Tensor Advance(Tape tape, Tensor tokens, bool[]? idle = null)
    {
        if (_text is null || !tokens.Device.IsCpu) tokens = Embedding.OnDevice(tape, tokens, _embedding);
        else Embedding.RequireTokens(tokens, _embedding);
        foreach (Parameter parameter in Model.Parameters) parameter.Value.As(_type); // A graph reads the copies where they lie.
        _cursors.Set(_state, idle);
        if (_text is not null)
        {
            Tensor logits = tape.Allocate([1, _config.VocabularySize], DType.F32, Model.Device);
            _text.Launch(
                tokens, _embedding, _norm, _head.Value.As(_type), _frequencies, _cursors, _state.Layers[0].Ring.Keys.Capacity, logits);
            MoveOn(idle);
            return logits;
        }

        Begin(tokens);
        if (_graph is null && _ranBefore) _graph = CudaGraph.Capture(_device, RunLayers);
        if (_graph is null) RunLayers();
        else _graph.Launch();
        _ranBefore = true;
        MoveOn(idle);
        return Scores(tape);
    }

    private void MoveOn(bool[]? idle)
    {
        int capacity = _state.Layers[0].Ring.Keys.Capacity;
        foreach (LayerState layer in _state.Layers) layer.Ring.Cursors.MoveOn(1, capacity, idle);
        _state.MoveOn(1, idle);
        _cursors.MovedOn(capacity);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _graph?.Dispose();
        _text?.Dispose();
        _cursors.Dispose();
        _frequencies.Dispose();
        _angles.Dispose();
        _scratch?.Dispose();
        _normed?.Dispose();
        foreach (Tensor tensor in (Tensor[])[_x, _projections, _attended, _hidden]) tensor.Dispose();
    }

    /// <summary>The output projection, which for more than a few texts is a matrix product worth the name.</summary>
    private Tensor Scores(Tape tape)
    {
        if (_state.Batch > DecodeProduct.FewRows)
        {
            return tape.Scoped(() =>
            {
                Tensor x = tape.Allocate(_x.Shape, _type, Model.Device);
                Cast.Copy(_x, x);
                return Linear.Apply(tape, RmsNorm.Apply(tape, x, _norm, _config.NormEpsilon), _head, resultType: DType.F32);
            });
        }

        Tensor logits = tape.Allocate([_state.Batch, _config.VocabularySize], DType.F32, Model.Device);
        _product.Scores(_x, _norm, _head, logits);
        return logits;
    }

    private void Begin(Tensor tokens) => _device.Kernel(Source, "decode_begin", KernelDefine.Element(_type)).Launch(
        new LaunchShape(_state.Batch, RowLaunch.Threads),
        tokens,
        _embedding.Value,
        _config.VocabularySize,
        _config.Width,
        _x,
        _frequencies,
        _config.HeadSize / 2,
        _angles,
        _cursors.Positions,
        _cursors.Slots,
        _cursors.Idle,
        _state.Layers[0].Ring.Keys.Capacity,
        _layers[0].AttentionNorm.Value,
        _normed?.Values,
        _normed?.Squares);

    private void RunLayers()
    {
        _normed?.SquareParts = 1; // As the kernel leaves it that begins a step.
        for (int i = 0; i < _layers.Length; i++)
        {
            DecodeLayer layer = _layers[i];
            // The first waits for all that was put on the stream before, so that every kernel finds the cursors moved on.
            _product.Store(_x, layer.AttentionNorm, layer.Projections, layer.Decay, _projections, overlaps: i > 0, _normed);
            Attend(i);
            if (_attention[i].PartsIn(_scratch) is { } parts) _product.Add(parts, layer.Output, _x, _normed, layer.FeedForwardNorm);
            else _product.Add(_attended, layer.Output, _x, _normed, layer.FeedForwardNorm);
            _product.SwiGlu(
                _x,
                layer.FeedForwardNorm,
                layer.FeedForwardGate,
                layer.FeedForwardValue,
                _hidden,
                Kept(_state.Layers[i]),
                _normed,
                _normed is null ? default : AheadOf(i));
            Tensor? next = i + 1 < _layers.Length ? _layers[i + 1].AttentionNorm.Value : null;
            _product.Add(_hidden, layer.FeedForwardOutput, _x, _normed, next);
        }
    }

    /// <summary>From projections to what a query has gathered, or the parts of it, by way of a slot of the ring.</summary>
    private void Attend(int index)
    {
        DecodeLayer layer = _layers[index];
        LayerState state = _state.Layers[index];
        _attention[index].Launch(
            [
                _projections, _projections.Shape[1], layer.QueryNorm?.Value, layer.KeyNorm?.Value, _config.NormEpsilon, _angles,
                state.PreviousKey, state.PreviousValue, layer.GateBias?.Value, DecayGate.DefaultEpsilon,
            ],
            [
                ("PREPARES", true), ("QUERY_HEADS", _config.Heads), ("KEY_HEADS", _config.KeyHeads), ("SHIFTED", _config.TokenShift),
                ("NORM", _config.QkNorm), ("ROTARY", _config.Rotary),
            ],
            1 / MathF.Sqrt(_config.HeadSize),
            _attended,
            _cursors.Slots,
            _scratch);
    }

    /// <summary>What is read from the second half of a layer's feed-forward on to the beginning of the next one's attention.</summary>
    private DecodeProduct.Ahead AheadOf(int index)
    {
        var ahead = new DecodeProduct.Ahead { Next = DecodeProduct.Region.Of([_layers[index].FeedForwardOutput], _type) };
        if (index + 1 == _layers.Length) return ahead;
        KeyValueRing ring = _state.Layers[index + 1].Ring;
        ahead = ahead with { AfterNext = DecodeProduct.Region.Of(_layers[index + 1].Projections, _type) };
        // Not more than stays there until it is read.
        return _attention[index + 1].FirstBytes > _device.L2Bytes / 2 ? ahead : ahead with
        {
            Keys = ring.Keys.Slots.Address,
            Values = ring.Values.Slots.Address,
            Cursors = _cursors.Slots,
            Capacity = ring.Keys.Capacity,
            KeyHeads = ring.Keys.Heads,
            KeyBytes = ring.Keys.Size * _type.Bytes(),
            Stretches = _attention[index + 1].Stretches,
        };
    }

    /// <summary>What the next token's shift will want of this one.</summary>
    private DecodeProduct.KeptToken? Kept(LayerState state)
    {
        if (state.PreviousKey is null) return null;
        nint keys = _projections.Address + (_config.Width * sizeof(float));
        int width = _config.KeyHeads * _config.HeadSize;
        return new(keys, _projections.Shape[1], width, state.PreviousKey, state.PreviousValue!, _cursors.Idle);
    }
}
