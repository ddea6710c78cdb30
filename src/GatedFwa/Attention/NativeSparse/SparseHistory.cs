using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>
/// All that native sparse attention can reach of texts that are continued: their keys and values, and the means of their complete
/// blocks. Memory doubles when it is full, so that a token costs the same however long the text has become.
/// </summary>
internal sealed class SparseHistory : IDisposable
{
    private const int FirstCapacity = 64;

    private readonly NativeSparseOptions _options;
    private readonly GatedWindowShape _shape;
    private readonly RingBuffer _keys, _values, _pooledKeys, _pooledValues;
    private readonly RingCursors _cursors;
    private readonly bool _isText; // Of a history that owns the memory.

    /// <summary>Begins empty texts.</summary>
    /// <param name="shape">Batch, heads and head size of the attention.</param>
    /// <param name="options">Its blocks.</param>
    /// <param name="device">Where it lives.</param>
    /// <param name="type">What keys and values are kept in.</param>
    public SparseHistory(GatedWindowShape shape, NativeSparseOptions options, Device device, DType type)
    {
        (_shape, _options) = (shape, options);
        // The operator reads tokens before heads: to a ring that is one wide head.
        RingBuffer Room(int capacity) => new(shape.Batch, 1, capacity, shape.KeyHeads * shape.HeadSize, type, device);
        (_keys, _values) = (Room(FirstCapacity), Room(FirstCapacity));
        int blocks = Math.Max(1, FirstCapacity / options.BlockSize);
        (_pooledKeys, _pooledValues) = (Room(blocks), Room(blocks));
        _cursors = new(shape.Batch);
    }

    private SparseHistory(SparseHistory other)
    {
        (_shape, _options, _cursors) = (other._shape, other._options, other._cursors.Clone());
        (_keys, _values) = (other._keys.Clone(), other._values.Clone());
        (_pooledKeys, _pooledValues) = (other._pooledKeys.Clone(), other._pooledValues.Clone());
    }

    private SparseHistory(SparseHistory whole, int text)
    {
        (_shape, _options, _isText) = (whole._shape with { Batch = 1 }, whole._options, true);
        _cursors = whole._cursors.Row(text);
        (_keys, _values) = (whole._keys.Row(text), whole._values.Row(text));
        (_pooledKeys, _pooledValues) = (whole._pooledKeys.Row(text), whole._pooledValues.Row(text));
    }

    /// <summary>Tokens of the longest text.</summary>
    public int Count => _cursors.MostCount;

    /// <summary>Whether all texts are equally long: only then can tokens come to all at once.</summary>
    public bool HasEqualTexts => _cursors.AreEqual;

    /// <summary>Bytes of keys, values and means, held or reserved for the next.</summary>
    public long Bytes => _keys.Bytes + _values.Bytes + _pooledKeys.Bytes + _pooledValues.Bytes;

    /// <summary>[B, ≥ <see cref="Count"/>, Hkv, D]; valid until the next is appended, and so the others.</summary>
    public Tensor Keys => Rows(_keys);

    /// <summary>[B, ≥ <see cref="Count"/>, Hkv, D].</summary>
    public Tensor Values => Rows(_values);

    /// <summary>[B, ≥ complete blocks, Hkv, D].</summary>
    public Tensor PooledKeys => Rows(_pooledKeys);

    /// <summary>[B, ≥ complete blocks, Hkv, D].</summary>
    public Tensor PooledValues => Rows(_pooledValues);

    /// <summary>One of the texts by itself, in the same memory, for as long as this lives: disposing it frees none of that.</summary>
    public SparseHistory Text(int text) => new(this, text);

    /// <summary>Adds tokens to texts that are equally long, and the means of the blocks that they fill.</summary>
    /// <param name="k">[B, T, Hkv, D].</param>
    /// <param name="v">[B, T, Hkv, D].</param>
    /// <returns>The attention of these tokens' queries to the text so far.</returns>
    public NativeSparseProblem Append(Tensor k, Tensor v)
    {
        int tokens = k.Shape[1], count = checked(Count + tokens), pooled = Count / _options.BlockSize;
        if (Reserve(_keys, _values, count)) _cursors.Unwrap();
        _cursors.MoveOn(tokens, _keys.Capacity);
        RingBuffer.Write(_keys, k, _values, v, tokens, _cursors);

        NativeSparseProblem problem = NativeSparseProblem.Check(_shape with { Tokens = tokens, Positions = count }, _options);
        if (problem.Blocks.PooledRows == pooled) return problem;
        Reserve(_pooledKeys, _pooledValues, problem.Blocks.PooledRows);
        BlockPooling.Pool(problem, Keys, PooledKeys, pooled);
        BlockPooling.Pool(problem, Values, PooledValues, pooled);
        return problem;
    }

    /// <summary>A copy that goes its own way.</summary>
    public SparseHistory Clone() => new(this);

    /// <summary>Forgets the texts; the memory is kept.</summary>
    public void Clear() => _cursors.Clear();

    /// <summary>Forgets one text.</summary>
    public void Clear(int text) => _cursors.Clear(text);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isText) return;
        _cursors.Dispose();
        foreach (RingBuffer buffer in (RingBuffer[])[_keys, _values, _pooledKeys, _pooledValues]) buffer.Dispose();
    }

    /// <summary>Makes room, and says whether it had to.</summary>
    private static bool Reserve(RingBuffer keys, RingBuffer values, int rows)
    {
        if (rows <= keys.Capacity) return false;
        int capacity = (int)Math.Min(int.MaxValue, Math.Max(rows, 2L * keys.Capacity));
        keys.Grow(capacity);
        values.Grow(capacity);
        return true;
    }

    private Tensor Rows(RingBuffer buffer) => buffer.Slots.Alias([_shape.Batch, buffer.Capacity, _shape.KeyHeads, _shape.HeadSize]);
}
