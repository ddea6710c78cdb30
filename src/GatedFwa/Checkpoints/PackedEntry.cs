using System.Text;
using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>
/// What a header says of one tensor, in fewer bytes than the header: name, start, end, type, rank, extents.
/// </summary>
internal readonly ref struct PackedEntry
{
    private readonly ReadOnlySpan<byte> _extents;
    private readonly int _rank;

    /// <summary>Reads the entry at <paramref name="at"/> and moves past it.</summary>
    public PackedEntry(ReadOnlySpan<byte> bytes, scoped ref int at)
    {
        Name = PackedBytes.Text(bytes, ref at);
        Start = PackedBytes.Number(bytes, ref at);
        End = PackedBytes.Number(bytes, ref at);
        Type = (SafetensorsType)bytes[at++];
        _rank = bytes[at++];
        int extents = at;
        for (int axis = 0; axis < _rank; axis++) PackedBytes.Number(bytes, ref at);
        _extents = bytes[extents..at];
    }

    public ReadOnlySpan<byte> Name { get; }

    public long Start { get; }

    public long End { get; }

    public SafetensorsType Type { get; }

    /// <summary>Whether it takes the bytes that its shape and type ask for.</summary>
    public bool HasItsBytes
    {
        get
        {
            try
            {
                long elements = 1;
                int at = 0;
                for (int axis = 0; axis < _rank; axis++) elements = checked(elements * PackedBytes.Number(_extents, ref at));
                return checked(elements * Type.Bytes()) == End - Start;
            }
            catch (OverflowException)
            {
                return false;
            }
        }
    }

    /// <summary>Writes all but the name, which stands before <paramref name="at"/> already, and moves past it.</summary>
    public static void Put(Span<byte> bytes, long start, long end, SafetensorsType type, ReadOnlySpan<int> extents, scoped ref int at)
    {
        PackedBytes.Put(bytes, start, ref at);
        PackedBytes.Put(bytes, end, ref at);
        bytes[at++] = (byte)type;
        bytes[at++] = (byte)extents.Length;
        foreach (int extent in extents) PackedBytes.Put(bytes, extent, ref at);
    }

    /// <summary>As an object of its own.</summary>
    public SafetensorsEntry ToEntry()
    {
        Span<int> extents = stackalloc int[_rank];
        int at = 0;
        foreach (ref int extent in extents) extent = (int)PackedBytes.Number(_extents, ref at);
        return new SafetensorsEntry(Encoding.UTF8.GetString(Name), Type, Shape.Create(extents), Start, End);
    }
}
