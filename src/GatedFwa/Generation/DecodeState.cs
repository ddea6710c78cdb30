using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Generation;

/// <summary>
/// What a model remembers of a text: per layer a ring of the last W keys, values and gates, and the last token's key and value for
/// the token shift. It does not grow with the text, unless the model can look back further than its window: without a window, or by
/// native sparse attention (<see cref="GrowsWithText"/>).
/// </summary>
public sealed class DecodeState : IDisposable
{
    private readonly ModelConfig _config;
    private DecodeStep? _step; // Made when first asked for.

    internal DecodeState(ModelConfig config, int batch, Device device, DType type)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        (_config, Batch) = (config, batch);
        Layers = [.. Enumerable.Range(0, config.Layers).Select(_ => new LayerState(config, batch, device, type))];
    }

    private DecodeState(DecodeState other)
    {
        (_config, Batch, Position) = (other._config, other.Batch, other.Position);
        Layers = [.. other.Layers.Select(layer => layer.Clone())];
    }

    /// <summary>How many texts advance together.</summary>
    public int Batch { get; }

    /// <summary>Tokens fed so far: the position of the next.</summary>
    public long Position { get; private set; }

    /// <summary>
    /// True for full causal models and for native sparse attention, which must keep every key and value; false where memory is
    /// bounded by the window.
    /// </summary>
    public bool GrowsWithText => !_config.IsBounded;

    /// <summary>Bytes of keys, values, gates, means of blocks and shift state that are held now, or reserved for the next tokens.</summary>
    public long Bytes => Layers.Sum(layer => layer.Bytes);

    internal IReadOnlyList<LayerState> Layers { get; }

    /// <summary>A copy that goes its own way: several continuations of one prompt.</summary>
    public DecodeState Clone() => new(this);

    /// <summary>Forgets the text.</summary>
    public void Reset()
    {
        foreach (LayerState layer in Layers) layer.Reset();
        Position = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _step?.Dispose();
        _step = null;
        foreach (LayerState layer in Layers) layer.Dispose();
    }

    /// <summary>A model's step from this text on a GPU, kept from one token to the next.</summary>
    internal DecodeStep StepOf(LanguageModel model)
    {
        if (_step?.Model == model) return _step;
        _step?.Dispose();
        return _step = new DecodeStep(model, this);
    }

    /// <summary>Refuses, before anything is changed, what could not continue this text.</summary>
    internal void CheckContinuation(ModelConfig config, Tape tape, Shape tokens, SequenceLayout? layout)
    {
        const string Operation = nameof(DecodeState);
        if (!ReferenceEquals(config, _config) && config != _config)
            throw new OperandException(Operation, "the model it was made for", "a model of another configuration");
        if (tokens[0] != Batch) throw new OperandException(Operation, $"tokens for {Batch} texts", $"{tokens}");
        if (tape.IsRecording)
            throw new OperandException(Operation, "a tape opened for inference: no gradient flows into the past", "one that records");
        if (layout is not null && layout != SequenceLayout.Dense)
            throw new OperandException(Operation, "a dense layout where a text is continued", "packed or padded documents");
    }

    internal void MoveOn(long tokens) => Position += tokens;
}
