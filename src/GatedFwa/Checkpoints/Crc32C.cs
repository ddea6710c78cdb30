using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;

namespace GatedFwa.Checkpoints;

/// <summary>
/// CRC-32C (Castagnoli) of what is written to it. It finds every flipped bit and every damaged run of up to 32, which the
/// structure of a file of numbers cannot.
/// </summary>
internal sealed class Crc32C : Stream
{
    private uint _remainder = uint.MaxValue;

    /// <summary>The checksum so far, eight hexadecimal digits.</summary>
    public string Text => (~_remainder).ToString("x8", CultureInfo.InvariantCulture);

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        uint remainder = _remainder;
        for (; buffer.Length >= sizeof(ulong); buffer = buffer[sizeof(ulong)..])
            remainder = BitOperations.Crc32C(remainder, BinaryPrimitives.ReadUInt64LittleEndian(buffer));
        foreach (byte value in buffer) remainder = BitOperations.Crc32C(remainder, value);
        _remainder = remainder;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
