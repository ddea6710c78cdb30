using System.Diagnostics.CodeAnalysis;
using GatedFwa.Attention;
using GatedFwa.Models;
using GatedFwa.Tensors;

namespace GatedFwa.Generation;

/// <summary>One layer's part of a <see cref="DecodeState"/>.</summary>
internal sealed class LayerState : IDisposable
{
    private readonly bool _isText; // Of a state that owns the memory.

    public LayerState(ModelConfig config, int batch, Device device, DType type)
    {
        Ring = new(batch, config.Heads, config.KeyHeads, config.HeadSize, config.Window, config.Gate, device, type);
        if (config.NativeSparse is { } sparse)
        {
            var shape = new GatedWindowShape(batch, 0, 0, config.Heads, config.KeyHeads, config.HeadSize);
            History = new(shape, sparse.Options(config.Window), device, type);
        }

        if (!config.TokenShift) return;
        // The token before the first is 0.
        PreviousKey = Tensor.Zeros([batch, config.KeyHeads, config.HeadSize], type, device);
        PreviousValue = Tensor.Zeros(PreviousKey.Shape, type, device);
    }

    private LayerState(LayerState other)
    {
        (Ring, History) = (other.Ring.Clone(), other.History?.Clone());
        (PreviousKey, PreviousValue) = (other.PreviousKey?.Copy(), other.PreviousValue?.Copy());
    }

    private LayerState(LayerState whole, int text)
    {
        (Ring, History, _isText) = (whole.Ring.Text(text), whole.History?.Text(text), true);
        (PreviousKey, PreviousValue) = (Rows(whole.PreviousKey, text, 1), Rows(whole.PreviousValue, text, 1));
    }

    /// <summary>What the window branch sees.</summary>
    public KeyValueRing Ring { get; }

    /// <summary>What the other branches of native sparse attention see; null in models without it.</summary>
    public SparseHistory? History { get; }

    /// <summary>The last token's key before its shift, [B, Hkv, D]; null in models without token shift.</summary>
    public Tensor? PreviousKey { get; }

    /// <summary>The last token's value before its shift, [B, Hkv, D]; null in models without token shift.</summary>
    public Tensor? PreviousValue { get; }

    /// <summary>Whether so many tokens can come to each of the texts at once, or only to one text after the other.</summary>
    public bool AdvancesAtOnce(int tokens) => History is not { HasEqualTexts: false } && (tokens == 1 || Ring.HasEqualPasts);

    public long Bytes => Ring.Bytes + (History?.Bytes ?? 0) + Size(PreviousKey) + Size(PreviousValue);

    /// <summary>Copies the last token of [B, T, …] to [B, …].</summary>
    /// <param name="tokens">[B, T, …]; T is 1 where there are idle texts.</param>
    /// <param name="last">[B, …].</param>
    /// <param name="idle">Texts whose last token stays; none unless given.</param>
    public static void Remember(Tensor tokens, Tensor last, bool[]? idle = null)
    {
        if (idle is not null)
        {
            RememberSome(tokens.Alias(last.Shape), last, idle);
            return;
        }

        if (!tokens.Device.IsCpu)
        {
            RingBufferCuda.CopyLast(tokens, last);
            return;
        }

        int width = (int)(last.Count / last.Shape[0]);
        ReadOnlySpan<float> source = tokens.AsSpan();
        Span<float> target = last.AsSpan();
        int rowFloats = tokens.Shape[1] * width;
        for (int row = 0; row < last.Shape[0]; row++)
            source.Slice(((row + 1) * rowFloats) - width, width).CopyTo(target[(row * width)..]);
    }

    public LayerState Clone() => new(this);

    /// <summary>One of the texts by itself, in the same memory, for as long as this lives: disposing it frees none of that.</summary>
    public LayerState Text(int text) => new(this, text);

    public void Reset()
    {
        Ring.Clear();
        History?.Clear();
        PreviousKey?.Clear();
        PreviousValue?.Clear();
    }

    /// <summary>Forgets one text.</summary>
    public void Reset(int text)
    {
        Ring.Clear(text);
        History?.Clear(text);
        Rows(PreviousKey, text, 1)?.Clear();
        Rows(PreviousValue, text, 1)?.Clear();
    }

    public void Dispose()
    {
        Ring.Dispose();
        History?.Dispose();
        if (_isText) return;
        PreviousKey?.Dispose();
        PreviousValue?.Dispose();
    }

    /// <summary>The tokens of texts that are not idle, neighbours in one copy.</summary>
    private static void RememberSome(Tensor tokens, Tensor last, bool[] idle)
    {
        for (int row = 0, end; row < idle.Length; row = end)
        {
            end = row + 1;
            if (idle[row]) continue;
            while (end < idle.Length && !idle[end]) end++;
            Rows(last, row, end - row).CopyFrom(Rows(tokens, row, end - row));
        }
    }

    /// <summary>Some rows of [B, Hkv, D] in place.</summary>
    [return: NotNullIfNotNull(nameof(tensor))]
    private static Tensor? Rows(Tensor? tensor, int first, int count)
    {
        if (tensor is null) return null;
        Shape shape = [count, tensor.Shape[1], tensor.Shape[2]];
        return tensor.Window(first * (shape.Count / count), shape);
    }

    private static long Size(Tensor? tensor) => tensor is null ? 0 : tensor.Count * tensor.Type.Bytes();
}
