using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>
/// The last W keys, values and decays of a batch of texts, each as long as it is: decoding in constant memory. Without a window nothing
/// is ever overwritten and the memory doubles whenever the longest text has filled it.
/// </summary>
public sealed class KeyValueRing : IDisposable
{
    private const int FirstCapacity = 64;

    private readonly int _batch;
    private readonly int _limit;
    private readonly bool _isText; // Of a ring that owns the memory.

    /// <summary>Makes an empty ring.</summary>
    /// <param name="batch">Texts that advance together, B.</param>
    /// <param name="heads">Query heads, H (each has its own decay).</param>
    /// <param name="keyHeads">Key and value heads, Hkv.</param>
    /// <param name="headSize">Features of a head, D.</param>
    /// <param name="window">Keys a query sees, its own included; null keeps all.</param>
    /// <param name="gated">Whether decays are kept.</param>
    /// <param name="device">Where it lives; the CPU unless given.</param>
    /// <param name="type">What keys and values are kept in: F32, or on a GPU BF16 or F16. Decays are F32.</param>
    /// <exception cref="OperandException">An extent is below 1, the query heads are no multiple of the key heads, or the device does
    /// not compute in the type.</exception>
    public KeyValueRing(
        int batch, int heads, int keyHeads, int headSize, int? window, bool gated, Device device = default, DType type = DType.F32)
    {
        const string Operation = nameof(KeyValueRing);
        if (window is < 1) throw new OperandException(Operation, "a window of at least 1 key, the query's own, or none", $"{window}");
        if (batch < 1 || headSize < 1)
            throw new OperandException(Operation, "at least one text and one feature", $"{batch} and {headSize}");
        if (keyHeads < 1 || heads < 1 || heads % keyHeads != 0)
            throw new OperandException(Operation, "query heads that are a multiple of the key heads", $"{heads} and {keyHeads}");
        if (type == DType.I32 || (device.IsCpu && type != DType.F32))
            throw new OperandException(Operation, device.IsCpu ? "F32 on the CPU" : "F32, BF16 or F16", $"{type}");
        _batch = batch;
        _limit = window ?? int.MaxValue;
        Window = window;
        QueryShape = [batch, 1, heads, headSize];
        // A GPU repeats its steps at fixed addresses: a window's memory is taken at once there.
        int capacity = window is { } whole && !device.IsCpu ? whole : Math.Min(_limit, FirstCapacity);
        Keys = new(batch, keyHeads, capacity, headSize, type, device);
        Values = new(batch, keyHeads, capacity, headSize, type, device);
        if (gated) Alpha = new(batch, heads, capacity, 1, DType.F32, device);
        Cursors = new(batch);
    }

    private KeyValueRing(KeyValueRing other)
    {
        (_batch, _limit, Window, QueryShape) = (other._batch, other._limit, other.Window, other.QueryShape);
        (Keys, Values, Alpha) = (other.Keys.Clone(), other.Values.Clone(), other.Alpha?.Clone());
        Cursors = other.Cursors.Clone();
    }

    private KeyValueRing(KeyValueRing whole, int text)
    {
        (_batch, _limit, Window, _isText) = (1, whole._limit, whole.Window, true);
        QueryShape = [1, 1, whole.QueryShape[2], whole.QueryShape[3]];
        (Keys, Values, Alpha) = (whole.Keys.Row(text), whole.Values.Row(text), whole.Alpha?.Row(text));
        Cursors = whole.Cursors.Row(text);
    }

    /// <summary>Keys a query sees, its own included; null for all.</summary>
    public int? Window { get; }

    /// <summary>Positions held of the longest text: at most the window.</summary>
    public int Count => Cursors.MostCount;

    /// <summary>Bytes of keys, values and decays, held or reserved for the next.</summary>
    public long Bytes => Keys.Bytes + Values.Bytes + (Alpha?.Bytes ?? 0);

    /// <summary>Whether several new tokens can come to all texts at once: as much of each is in sight of the first of them.</summary>
    internal bool HasEqualPasts
    {
        get
        {
            for (int row = 1; row < _batch; row++)
            {
                if (Past(row) != Past(0)) return false;
            }

            return true;
        }
    }

    /// <summary>Where each text is.</summary>
    internal RingCursors Cursors { get; }

    internal Shape QueryShape { get; }

    internal RingBuffer Keys { get; }

    internal RingBuffer Values { get; }

    internal RingBuffer? Alpha { get; }

    /// <summary>One of the texts by itself: a ring of a batch of 1 in the same memory, for as long as this one lives. What is done to
    /// either is done to both.</summary>
    /// <param name="text">Which, counted from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such text.</exception>
    public KeyValueRing Text(int text)
    {
        CheckText(text);
        return new(this, text);
    }

    /// <summary>Adds new positions, as many to each text; those that leave the window are overwritten.</summary>
    /// <param name="k">[B, T, Hkv, D] in the ring's type.</param>
    /// <param name="v">[B, T, Hkv, D] in the ring's type.</param>
    /// <param name="alpha">F32 [B, T, H], or none as when the ring was made.</param>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public void Append(Tensor k, Tensor v, Tensor? alpha)
    {
        Check(k, v, alpha);
        int kept = Math.Min(k.Shape[1], _limit);
        Reserve((int)Math.Min(_limit, (long)Count + kept));
        Cursors.MoveOn(kept, Keys.Capacity);
        RingBuffer.Write(Keys, k, Values, v, kept, Cursors);
        Alpha?.Write(alpha!, kept, Cursors);
    }

    /// <summary>Adds new positions and gives what their queries attend to: the visible past followed by them, in order of time.</summary>
    /// <param name="tape">Owns the results; no gradient flows through them.</param>
    /// <param name="k">[B, T, Hkv, D] in the ring's type.</param>
    /// <param name="v">[B, T, Hkv, D] in the ring's type.</param>
    /// <param name="alpha">F32 [B, T, H], or none as when the ring was made.</param>
    /// <returns>Keys and values [B, S, Hkv, D], decays [B, S, H] or none; S ≤ W − 1 + T.</returns>
    /// <exception cref="OperandException">The shapes do not match, or not as much is in sight of each text.</exception>
    public (Tensor Keys, Tensor Values, Tensor? Alpha) Extend(Tape tape, Tensor k, Tensor v, Tensor? alpha)
    {
        Check(k, v, alpha);
        if (!HasEqualPasts)
        {
            throw new OperandException(
                nameof(KeyValueRing), "texts of one length, or of at least W − 1 positions (else extend them one by one: Text)", "others");
        }

        int past = Past(0), positions = checked(past + k.Shape[1]);
        Tensor keys = tape.Allocate([_batch, positions, k.Shape[2], k.Shape[3]], k.Type, k.Device);
        Tensor values = tape.Allocate(keys.Shape, k.Type, k.Device);
        Keys.Join(Cursors, past, k, keys);
        Values.Join(Cursors, past, v, values);
        Tensor? decays = alpha is null ? null : tape.Allocate([_batch, positions, alpha.Shape[2]], DType.F32, k.Device);
        if (decays is not null) Alpha!.Join(Cursors, past, alpha!, decays);
        Append(k, v, alpha);
        return (keys, values, decays);
    }

    /// <summary>A copy that goes its own way.</summary>
    public KeyValueRing Clone() => new(this);

    /// <summary>Forgets everything; the memory is kept.</summary>
    public void Clear() => Cursors.Clear();

    /// <summary>Forgets one text.</summary>
    /// <param name="text">Which, counted from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such text.</exception>
    public void Clear(int text)
    {
        CheckText(text);
        Cursors.Clear(text);
    }

    /// <summary>Gives the memory back; that of a <see cref="Text"/> belongs to the ring it is of.</summary>
    public void Dispose()
    {
        if (_isText) return;
        Cursors.Dispose();
        Keys.Dispose();
        Values.Dispose();
        Alpha?.Dispose();
    }

    /// <summary>What the first new query of a text will see: the W − 1 positions before it, as far as they exist.</summary>
    private int Past(int row) => Math.Min(Cursors[row].Count, _limit - 1);

    private void CheckText(int text)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(text);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(text, _batch);
    }

    private void Check(Tensor k, Tensor v, Tensor? alpha)
    {
        int tokens = k.Shape.Rank == 4 ? k.Shape[1] : 0;
        Shape expected = [_batch, tokens, Keys.Heads, Keys.Size];
        if (tokens == 0 || k.Shape != expected || v.Shape != expected)
        {
            throw new OperandException(
                nameof(KeyValueRing),
                $"keys and values [{_batch}, T ≥ 1, {Keys.Heads}, {Keys.Size}]",
                $"{k.Shape} and {v.Shape}");
        }

        if (k.Type != Keys.Type || v.Type != Keys.Type || k.Device != Keys.Device || v.Device != Keys.Device)
        {
            throw new OperandException(
                nameof(KeyValueRing),
                $"keys and values of {Keys.Type} on {Keys.Device}",
                $"{k.Type} on {k.Device} and {v.Type} on {v.Device}");
        }

        bool gateMatches = Alpha is null
            ? alpha is null
            : alpha is { Type: DType.F32 } && alpha.Device == Keys.Device && alpha.Shape == [_batch, tokens, Alpha.Heads];
        if (!gateMatches)
        {
            throw new OperandException(
                nameof(KeyValueRing),
                Alpha is null ? "no decays" : $"F32 decays [{_batch}, {tokens}, {Alpha.Heads}] on {Keys.Device}",
                alpha is null ? "none" : $"{alpha.Type} {alpha.Shape} on {alpha.Device}");
        }
    }

    /// <summary>
    /// Makes room for so many positions. Slots wrap around only once the capacity is the window's, so until then they lie in order
    /// of time.
    /// </summary>
    private void Reserve(int positions)
    {
        if (positions <= Keys.Capacity) return;
        int capacity = (int)Math.Min(_limit, Math.Max(positions, 2L * Keys.Capacity));
        Keys.Grow(capacity);
        Values.Grow(capacity);
        Alpha?.Grow(capacity);
        Cursors.Unwrap();
    }
}
