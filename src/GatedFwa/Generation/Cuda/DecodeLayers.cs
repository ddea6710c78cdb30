using GatedFwa.Attention;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Generation;

/// <summary>
/// One token a text by five kernels a layer, each of which begins to read its weights while the one before still runs, and a graph that
/// repeats all layers at one call of the host. Serves all texts and models that <see cref="DecodeStep.Serves"/>.
/// </summary>
internal sealed class DecodeLayers : IDisposable
{
    private static readonly KernelSource Source = new(typeof(DecodeLayers), "decode_begin.cu");

    private readonly ModelConfig _config;
    private readonly DecodeState _state;
    private readonly Device _place;
    private readonly CudaDevice _device;
    private readonly DecodeWeights _weights;
    private readonly DecodeProduct _product;
    private readonly DecodeCursors _cursors;
    private readonly CudaStorage _frequencies, _angles;
    private readonly CudaStorage? _scratch;
    private readonly RingDecodeCuda.Plan[] _attention;
    private readonly Tensor _x, _projections, _attended, _hidden;
    private readonly DecodeProduct.NormedStream? _normed;
    private CudaGraph? _graph;
    private bool _ranBefore;

    /// <summary>Takes the memory of a step.</summary>
    /// <param name="model">The model.</param>
    /// <param name="state">Its texts.</param>
    /// <param name="weights">What is read of the model.</param>
    /// <param name="cursors">Where the texts are; the caller's.</param>
    /// <param name="frequencies">Float64 [D / 2]; the caller's.</param>
    public DecodeLayers(LanguageModel model, DecodeState state, DecodeWeights weights, DecodeCursors cursors, CudaStorage frequencies)
    {
        (_config, _state, _weights, _cursors, _frequencies) = (model.Config, state, weights, cursors, frequencies);
        _place = model.Device;
        _device = CudaDevice.Get(_place.Index);
        _product = new DecodeProduct(weights.Type, _config.NormEpsilon);

        int batch = state.Batch;
        KeyValueRing ring = state.Layers[0].Ring;
        Tensor Room(int width, DType type) => Tensor.Empty([batch, width], type, _place);
        _x = Room(_config.Width, DType.F32);
        _normed = DecodeProduct.NormedStream.For(batch, _config.Width, weights.Type, _place);
        _projections = Room(weights.Layers[0].ProjectedWidth, DType.F32);
        _hidden = Room(_config.FeedForwardWidth, weights.Type);
        _attended = Tensor.Empty(ring.QueryShape, weights.Type, _place);
        _attention =
        [
            .. state.Layers.Select(
                layer => new RingDecodeCuda.Plan(_device, layer.Ring, ring.Keys.Capacity, joins: false, isMany: _normed is not null)),
        ];
        _scratch = _attention[0].ScratchBytes == 0 ? null : _device.Memory.Rent(_attention[0].ScratchBytes);
        _angles = _device.Memory.Rent((long)batch * _config.HeadSize * sizeof(float));
    }

    /// <summary>Takes a token of each text through all layers.</summary>
    /// <param name="tokens">I32 [B, 1], on the GPU.</param>
    public void Run(Tensor tokens)
    {
        Begin(tokens);
        if (_graph is null && _ranBefore) _graph = CudaGraph.Capture(_device, RunLayers);
        if (_graph is null) RunLayers();
        else _graph.Launch();
        _ranBefore = true;
    }

    /// <summary>The output projection, which for more than a few texts is a matrix product worth the name.</summary>
    /// <param name="tape">Owns the result.</param>
    /// <returns>F32 [B, V].</returns>
    public Tensor Scores(Tape tape)
    {
        if (_state.Batch > DecodeProduct.FewRows)
        {
            return tape.Scoped(() =>
            {
                Tensor x = tape.Allocate(_x.Shape, _weights.Type, _place);
                Cast.Copy(_x, x);
                return Linear.Apply(tape, RmsNorm.Apply(tape, x, _weights.Norm, _config.NormEpsilon), _weights.Head, resultType: DType.F32);
            });
        }

        Tensor logits = tape.Allocate([_state.Batch, _config.VocabularySize], DType.F32, _place);
        _product.Scores(_x, _weights.Norm, _weights.Head, logits);
        return logits;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _graph?.Dispose();
        _angles.Dispose();
        _scratch?.Dispose();
        _normed?.Dispose();
        foreach (Tensor tensor in (Tensor[])[_x, _projections, _attended, _hidden]) tensor.Dispose();
    }

    private void Begin(Tensor tokens) => _device.Kernel(Source, "decode_begin", KernelDefine.Element(_weights.Type)).Launch(
        new LaunchShape(_state.Batch, RowLaunch.Threads),
        tokens,
        _weights.Embedding.Value,
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
        _weights.Layers[0].AttentionNorm.Value,
        _normed?.Values,
        _normed?.Squares);

    private void RunLayers()
    {
        _normed?.SquareParts = 1; // As the kernel leaves it that begins a step.
        for (int i = 0; i < _weights.Layers.Length; i++)
        {
            DecodeLayer layer = _weights.Layers[i];
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
            Tensor? next = i + 1 < _weights.Layers.Length ? _weights.Layers[i + 1].AttentionNorm.Value : null;
            _product.Add(_hidden, layer.FeedForwardOutput, _x, _normed, next);
        }
    }

    /// <summary>From projections to what a query has gathered, or the parts of it, by way of a slot of the ring.</summary>
    private void Attend(int index)
    {
        DecodeLayer layer = _weights.Layers[index];
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
        var ahead = new DecodeProduct.Ahead { Next = DecodeProduct.Region.Of([_weights.Layers[index].FeedForwardOutput], _weights.Type) };
        if (index + 1 == _weights.Layers.Length) return ahead;
        KeyValueRing ring = _state.Layers[index + 1].Ring;
        ahead = ahead with { AfterNext = DecodeProduct.Region.Of(_weights.Layers[index + 1].Projections, _weights.Type) };
        // Not more than stays there until it is read.
        return _attention[index + 1].FirstBytes > _device.L2Bytes / 2 ? ahead : ahead with
        {
            Keys = ring.Keys.Slots.Address,
            Values = ring.Values.Slots.Address,
            Cursors = _cursors.Slots,
            Capacity = ring.Keys.Capacity,
            KeyHeads = ring.Keys.Heads,
            KeyBytes = ring.Keys.Size * _weights.Type.Bytes(),
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
