using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Generation;

/// <summary>
/// What a model remembers of a batch of texts, each as long as it is: per layer a ring of the last W keys, values and gates, and the last
/// token's key and value for the token shift. It does not grow with the texts, unless the model can look back further than its window:
/// without a window, or by native sparse attention (<see cref="GrowsWithText"/>).
/// </summary>
public sealed class DecodeState : IDisposable
{
    private readonly ModelConfig _config;
    private readonly long[] _positions; // Of the texts of this state, or of the batch that this is one text of.
    private readonly int _first;
    private DecodeStep? _step; // Made when first asked for.

    internal DecodeState(ModelConfig config, int batch, Device device, DType type)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        (_config, Batch, _positions) = (config, batch, new long[batch]);
        Positions = _positions.AsReadOnly();
        Layers = [.. Enumerable.Range(0, config.Layers).Select(_ => new LayerState(config, batch, device, type))];
    }

    private DecodeState(DecodeState other)
    {
        (_config, Batch, _positions) = (other._config, other.Batch, [.. other.Own]);
        Positions = _positions.AsReadOnly();
        Layers = [.. other.Layers.Select(layer => layer.Clone())];
    }

    private DecodeState(DecodeState whole, int text)
    {
        (_config, Batch, _positions, _first) = (whole._config, 1, whole._positions, whole._first + text);
        Positions = new ArraySegment<long>(_positions, _first, 1).AsReadOnly();
        Layers = [.. whole.Layers.Select(layer => layer.Text(text))];
    }

    /// <summary>How many texts advance together.</summary>
    public int Batch { get; }

    /// <summary>Tokens of each text that were fed so far: the position of its next. Live: it changes as the texts advance.</summary>
    public IReadOnlyList<long> Positions { get; }

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

    /// <summary>Forgets all texts.</summary>
    public void Reset()
    {
        foreach (LayerState layer in Layers) layer.Reset();
        Own.Clear();
    }

    /// <summary>Forgets one text, in whose place another can begin; the others stay as they are.</summary>
    /// <param name="text">Which, counted from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such text.</exception>
    public void Reset(int text)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(text);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(text, Batch);
        foreach (LayerState layer in Layers) layer.Reset(text);
        Own[text] = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _step?.Dispose();
        _step = null;
        foreach (LayerState layer in Layers) layer.Dispose();
    }

    /// <summary>The positions of the next tokens: one where it is that of all texts.</summary>
    internal ReadOnlyMemory<long> NextPositions
    {
        get
        {
            ReadOnlyMemory<long> all = _positions.AsMemory(_first, Batch);
            return all.Span.ContainsAnyExcept(all.Span[0]) ? all : all[..1];
        }
    }

    private Span<long> Own => _positions.AsSpan(_first, Batch);

    /// <summary>One of the texts by itself, in the same memory, for as long as this lives: disposing it frees none of that.</summary>
    internal DecodeState Text(int text) => new(this, text);

    /// <summary>Whether so many tokens can come to each of the texts at once, or only to one text after the other.</summary>
    internal bool AdvancesAtOnce(int tokens) => Layers[0].AdvancesAtOnce(tokens);

    /// <summary>A model's step from these texts on a GPU, kept from one token to the next.</summary>
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

    /// <summary>So many tokens have come to each text, but to idle ones.</summary>
    internal void MoveOn(long tokens, ReadOnlySpan<bool> idle = default)
    {
        for (int text = 0; text < Batch; text++)
        {
            if (idle.IsEmpty || !idle[text]) Own[text] += tokens;
        }
    }

    /// <summary>Idle texts were given a token all the same, so that all texts are one batch: they give it up again.</summary>
    internal void TakeBack(ReadOnlySpan<bool> idle)
    {
        for (int text = 0; text < idle.Length; text++)
        {
            if (!idle[text]) continue;
            foreach (LayerState layer in Layers) layer.Ring.Cursors.TakeBack(text, layer.Ring.Keys.Capacity);
        }
    }
}
