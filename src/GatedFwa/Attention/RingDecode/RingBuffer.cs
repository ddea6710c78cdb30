using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>One kind of memory of a <see cref="KeyValueRing"/>: <c>[B, heads, capacity, size]</c>, each head's slots together, so that a
/// decoding thread reads its head as one stream. Where the newest slot is, the ring knows.</summary>
/// <remarks>With all heads as one wide head it keeps tokens one after the other, as operators read them.</remarks>
internal sealed unsafe class RingBuffer : IDisposable
{
    private readonly Room _room;
    private readonly int _first, _batch;

    public RingBuffer(int batch, int heads, int capacity, int size, DType type, Device device)
        : this(new Room(Tensor.Empty([batch, heads, capacity, size], type, device)), 0, batch)
    {
    }

    private RingBuffer(Room room, int first, int batch) => (_room, _first, _batch) = (room, first, batch);

    public int Heads => _room.Slots.Shape[1];

    public int Capacity => _room.Slots.Shape[2];

    public int Size => _room.Slots.Shape[3];

    public DType Type => _room.Slots.Type;

    public Device Device => _room.Slots.Device;

    public long Bytes => _batch * RowSlots * Size * Type.Bytes();

    /// <summary>All slots, for kernels; valid until the buffer grows.</summary>
    public Tensor Slots =>
        _batch == _room.Slots.Shape[0] ? _room.Slots : _room.Slots.Window(_first * RowSlots * Size, [_batch, Heads, Capacity, Size]);

    private long RowSlots => (long)Heads * Capacity;

    /// <summary>The slots of one head.</summary>
    public float* Head(int row, int head) => _room.Slots.Floats + (((((long)_first + row) * Heads) + head) * Capacity * Size);

    /// <summary>One text's part of the same memory; it is not disposed.</summary>
    public RingBuffer Row(int row) => new(_room, _first + row, 1);

    /// <summary>
    /// Writes the last <paramref name="kept"/> tokens of [B, T, heads, size] to the slots that end where the cursors are.
    /// </summary>
    public void Write(Tensor tokens, int kept, RingCursors cursors)
    {
        if (!Device.IsCpu)
        {
            RingBufferCuda.Append(tokens, Slots, null, null, kept, cursors);
            return;
        }

        int length = tokens.Shape[1];
        for (int row = 0; row < _batch; row++)
        {
            int first = cursors[row].Before(kept, Capacity);
            for (int head = 0; head < Heads; head++)
            {
                float* slots = Head(row, head);
                int slot = first;
                for (int token = length - kept; token < length; token++)
                {
                    Copy(Token(tokens, row, token, head), slots + ((long)slot * Size));
                    if (++slot == Capacity) slot = 0;
                }
            }
        }
    }

    /// <summary>The same for two buffers of one shape, on a GPU in one launch.</summary>
    public static void Write(RingBuffer keys, Tensor k, RingBuffer values, Tensor v, int kept, RingCursors cursors)
    {
        if (keys.Device.IsCpu)
        {
            keys.Write(k, kept, cursors);
            values.Write(v, kept, cursors);
            return;
        }

        RingBufferCuda.Append(k, keys.Slots, v, values.Slots, kept, cursors);
    }

    /// <summary>Writes the <paramref name="count"/> slots that end where the cursors are to the first positions of [B, S, heads, size]
    /// and the given tokens to the rest.</summary>
    public void Join(RingCursors cursors, int count, Tensor tokens, Tensor joined)
    {
        if (!Device.IsCpu)
        {
            RingBufferCuda.Join(Slots, tokens, joined, cursors, count);
            return;
        }

        for (int row = 0; row < _batch; row++)
        {
            int oldest = cursors[row].Before(count, Capacity);
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

    /// <summary>Makes room for more slots, for all texts of the batch, keeping those there are.</summary>
    public void Grow(int capacity)
    {
        Tensor slots = _room.Slots, grown = Tensor.Empty([slots.Shape[0], Heads, capacity, Size], Type, Device);
        if (Device.IsCpu)
        {
            long bytes = (long)Capacity * Size * sizeof(float);
            for (long head = 0; head < (long)slots.Shape[0] * Heads; head++)
                Buffer.MemoryCopy(slots.Floats + (head * Capacity * Size), grown.Floats + (head * capacity * Size), bytes, bytes);
        }
        else
        {
            RingBufferCuda.Move(slots, grown);
        }

        slots.Dispose();
        _room.Slots = grown;
    }

    public RingBuffer Clone() => new(new Room(Slots.Copy()), 0, _batch);

    public void Dispose() => _room.Slots.Dispose();

    /// <summary>Where a token's head begins in [B, T, heads, size].</summary>
    private float* Token(Tensor tokens, int row, int token, int head) =>
        tokens.Floats + ((((((long)row * tokens.Shape[1]) + token) * Heads) + head) * Size);

    private void Copy(float* source, float* target) => new ReadOnlySpan<float>(source, Size).CopyTo(new Span<float>(target, Size));

    /// <summary>The memory that a buffer and those of its rows have in common.</summary>
    private sealed class Room(Tensor slots)
    {
        public Tensor Slots { get; set; } = slots;
    }
}
