using GatedFwa.Attention;
using GatedFwa.Models;
using GatedFwa.Tensors;

namespace GatedFwa.Generation;

/// <summary>One layer's part of a <see cref="DecodeState"/>.</summary>
internal sealed class LayerState : IDisposable
{
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

    /// <summary>What the window branch sees.</summary>
    public KeyValueRing Ring { get; }

    /// <summary>What the other branches of native sparse attention see; null in models without it.</summary>
    public SparseHistory? History { get; }

    /// <summary>The last token's key before its shift, [B, Hkv, D]; null in models without token shift.</summary>
    public Tensor? PreviousKey { get; }

    /// <summary>The last token's value before its shift, [B, Hkv, D]; null in models without token shift.</summary>
    public Tensor? PreviousValue { get; }

    public long Bytes => Ring.Bytes + (History?.Bytes ?? 0) + Size(PreviousKey) + Size(PreviousValue);

    /// <summary>Copies the last token of [B, T, …] to [B, …].</summary>
    public static void Remember(Tensor tokens, Tensor last)
    {
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

    public void Reset()
    {
        Ring.Clear();
        History?.Clear();
        PreviousKey?.Clear();
        PreviousValue?.Clear();
    }

    public void Dispose()
    {
        Ring.Dispose();
        History?.Dispose();
        PreviousKey?.Dispose();
        PreviousValue?.Dispose();
    }

    private static long Size(Tensor? tensor) => tensor is null ? 0 : tensor.Count * tensor.Type.Bytes();
}
