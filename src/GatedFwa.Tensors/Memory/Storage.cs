namespace GatedFwa.Tensors.Memory;

/// <summary>Writes bytes of a <see cref="Storage"/>.</summary>
/// <param name="piece">Where to write them.</param>
/// <param name="start">Which of the block's bytes is their first.</param>
/// <param name="bytes">How many they are.</param>
internal unsafe delegate void PieceWriter(byte* piece, long start, long bytes);

/// <summary>A block of device memory, shared by a tensor and its views and returned to its pool with the last of them.</summary>
internal abstract class Storage
{
    private int _references = 1;

    private protected Storage(Device device, long bytes)
    {
        Device = device;
        Bytes = bytes;
    }

    /// <summary>Where the block lies.</summary>
    public Device Device { get; }

    /// <summary>The bytes that were asked for (the block itself may be larger).</summary>
    public long Bytes { get; }

    /// <summary>Copies host bytes into the block, from a byte of it on. The caller has checked that they fit.</summary>
    internal abstract void CopyFromHost(ReadOnlySpan<byte> source, long start);

    /// <summary>Has the host write all bytes: where they lie, or piece by piece in memory from which they go to the device.</summary>
    /// <param name="write">Writes a piece; in order, and never two at once.</param>
    internal abstract void Write(PieceWriter write);

    /// <summary>Copies bytes of the block, from one of them on, to the host. The caller has checked that there are so many.</summary>
    internal abstract void CopyToHost(Span<byte> destination, long start);

    /// <summary>Copies as many bytes as this block has from another on the same device.</summary>
    internal abstract void CopyFrom(Storage source);

    /// <summary>Sets every byte to zero.</summary>
    internal abstract void Clear();

    /// <summary>Some of the bytes, for as long as this block is held: holds no reference of its own and is never released.</summary>
    internal abstract Storage Window(long start, long bytes);

    private protected abstract void ReturnToPool();

    /// <summary>Whether more than one tensor holds this block.</summary>
    internal bool IsShared => Volatile.Read(ref _references) > 1;

    internal void Retain() => Interlocked.Increment(ref _references);

    internal void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0) ReturnToPool();
    }
}
