using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Generation;

/// <summary>
/// One token a text on a GPU, in one of two ways, each with memory of its own: one text of a small model in a single launch
/// (<see cref="DecodeText"/>), all others by five kernels a layer (<see cref="DecodeLayers"/>). Where the texts are and how long, the
/// kernels of both read from memory.
/// </summary>
/// <remarks>The residual stream and the projections stay float32; otherwise it computes what <see cref="Layers.TransformerBlock"/>
/// does.</remarks>
internal sealed class DecodeStep : IDisposable
{
    private readonly ModelConfig _config;
    private readonly DecodeState _state;
    private readonly DecodeWeights _weights;
    private readonly DecodeCursors _cursors;
    private readonly CudaStorage _frequencies;
    private readonly DecodeText? _text;
    private readonly DecodeLayers? _layers; // Where _text does not serve.

    /// <summary>Takes the memory of a step.</summary>
    public DecodeStep(LanguageModel model, DecodeState state)
    {
        (Model, _config, _state) = (model, model.Config, state);
        var device = CudaDevice.Get(model.Device.Index);
        _weights = new DecodeWeights(model);
        _cursors = new DecodeCursors(device, state.Batch);
        double[] frequencies = RotaryTable.Frequencies(_config.HeadSize, _config.RotaryBase);
        _frequencies = device.Memory.Rent(frequencies.Length * sizeof(double));
        _frequencies.CopyFromHost(MemoryMarshal.AsBytes(frequencies.AsSpan()), 0);
        _text = DecodeText.For(_config, device, _weights.Type, _weights.Layers, state);
        if (_text is null) _layers = new DecodeLayers(model, state, _weights, _cursors, _frequencies);
    }

    /// <summary>The model whose weights it reads.</summary>
    public LanguageModel Model { get; }

    /// <summary>Whether a step is one launch (<see cref="DecodeText"/>).</summary>
    public bool IsOneLaunch => _text is not null;

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
        // A token that the host knows comes with the launch of the text's kernel.
        if (_text is null || !tokens.Device.IsCpu) tokens = Embedding.OnDevice(tape, tokens, _weights.Embedding);
        else Embedding.RequireTokens(tokens, _weights.Embedding);
        foreach (Parameter parameter in Model.Parameters) parameter.Value.As(_weights.Type); // Kernels read the copies where they lie.
        _cursors.Set(_state, idle);
        if (_layers is not null)
        {
            _layers.Run(tokens);
            MoveOn(idle);
            return _layers.Scores(tape);
        }

        Tensor logits = tape.Allocate([1, _config.VocabularySize], DType.F32, Model.Device);
        int capacity = _state.Layers[0].Ring.Keys.Capacity;
        Tensor head = _weights.Head.Value.As(_weights.Type);
        _text!.Launch(tokens, _weights.Embedding, _weights.Norm, head, _frequencies, _cursors, capacity, logits);
        MoveOn(idle);
        return logits;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _text?.Dispose();
        _layers?.Dispose();
        _cursors.Dispose();
        _frequencies.Dispose();
    }

    private void MoveOn(bool[]? idle)
    {
        int capacity = _state.Layers[0].Ring.Keys.Capacity;
        foreach (LayerState layer in _state.Layers) layer.Ring.Cursors.MoveOn(1, capacity, idle);
        _state.MoveOn(1, idle);
        _cursors.MovedOn(capacity);
    }
}
