using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>One kind of memory of a <see cref="KeyValueRing"/>: <c>[B, heads, capacity, size]</c>, each head's slots together, so that a
/// decoding thread reads its head as one stream. Where the newest slot is, the ring knows.</summary>
/// <remarks>With all heads as one wide head it keeps tokens one after the other, as operators read them.</remarks>
internal sealed unsafe class RingBuffer : IDisposable
{
    private Tensor _slots;

    public RingBuffer(int batch, int heads, int capacity, int size, DType type, Device device) =>
        _slots = Tensor.Empty([batch, heads, capacity, size], type, device);

    private RingBuffer(Tensor slots) => _slots = slots;

    public int Heads => _slots.Shape[1];

    public int Capacity => _slots.Shape[2];

    public int Size => _slots.Shape[3];

    public DType Type => _slots.Type;

    public Device Device => _slots.Device;

    public long Bytes => _slots.Count * Type.Bytes();

    /// <summary>All slots, for kernels.</summary>
    public Tensor Slots => _slots;

    private int Batch => _slots.Shape[0];

    /// <summary>The slots of one head.</summary>
    public float* Head(int row, int head) => _slots.Floats + ((((long)row * Heads) + head) * Capacity * Size);

    /// <summary>
    /// Writes the last <paramref name="kept"/> tokens of [B, T, heads, size] from slot <paramref name="next"/> on, wrapping around.
    /// </summary>
    public void Write(Tensor tokens, int kept, int next)
    {
        if (!Device.IsCpu)
        {
            RingBufferCuda.Append(tokens, _slots, null, null, kept, next);
            return;
        }

        int length = tokens.Shape[1];
        for (int row = 0; row < Batch; row++)
        {
            for (int head = 0; head < Heads; head++)
            {
                float* slots = Head(row, head);
                int slot = next;
                for (int token = length - kept; token < length; token++)
                {
                    Copy(Token(tokens, row, token, head), slots + ((long)slot * Size));
                    if (++slot == Capacity) slot = 0;
                }
            }
        }
    }

    /// <summary>The same for two buffers of one shape, on a GPU in one launch.</summary>
    public static void Write(RingBuffer keys, Tensor k, RingBuffer values, Tensor v, int kept, int next)
    {
        if (keys.Device.IsCpu)
        {
            keys.Write(k, kept, next);
            values.Write(v, kept, next);
            return;
        }

        RingBufferCuda.Append(k, keys._slots, v, values._slots, kept, next);
    }

    /// <summary>Writes the <paramref name="count"/> slots from <paramref name="oldest"/> on, wrapping around, to the first positions of
    /// [B, S, heads, size] and the given tokens to the rest.</summary>
    public void Join(int oldest, int count, Tensor tokens, Tensor joined)
    {
        if (!Device.IsCpu)
        {
            RingBufferCuda.Join(_slots, tokens, joined, oldest, count);
            return;
        }

        for (int row = 0; row < Batch; row++)
        {
            for (int head = 0; head < Heads; head++)
            {
                float* slots = Head(row, head);
                int slot = oldest;
                for (int position = 0; position < count; position++)
                {
                    Copy(slots + ((long)slot * Size), Token(joined, row, position, head));
                    if (++slot == Capacity) slot = 0;
                }
            }

            long width = (long)Heads * Size, bytes = tokens.Shape[1] * width * sizeof(float);
            Buffer.MemoryCopy(Token(tokens, row, 0, 0), Token(joined, row, count, 0), bytes, bytes);
        }
    }

    /// <summary>Makes room for more slots, keeping the first <paramref name="count"/> of each head.</summary>
    public void Grow(int capacity, int count)
    {
        var grown = new RingBuffer(Batch, Heads, capacity, Size, Type, Device);
        if (Device.IsCpu) CopyHeads(grown, count);
        else RingBufferCuda.Move(_slots, grown._slots, count);

        _slots.Dispose();
        _slots = grown._slots;
    }

    public RingBuffer Clone() => new(_slots.Copy());

    public void Dispose() => _slots.Dispose();

    private void CopyHeads(RingBuffer target, int count)
    {
        long bytes = (long)count * Size * sizeof(float);
        for (int row = 0; row < Batch; row++)
        {
            for (int head = 0; head < Heads; head++) Buffer.MemoryCopy(Head(row, head), target.Head(row, head), bytes, bytes);
        }
    }

    /// <summary>Where a token's head begins in [B, T, heads, size].</summary>
    private float* Token(Tensor tokens, int row, int token, int head) =>
        tokens.Floats + ((((((long)row * tokens.Shape[1]) + token) * Heads) + head) * Size);

    private void Copy(float* source, float* target) => new ReadOnlySpan<float>(source, Size).CopyTo(new Span<float>(target, Size));
}
