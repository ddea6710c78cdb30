namespace GatedFwa.Checkpoints;

/// <summary>Texts and numbers one after the other in bytes, none longer than it is in JSON.</summary>
internal static class PackedBytes
{
    private const byte EndOfText = 0xFF; // Occurs in no UTF-8.
    private const int NumberBits = 7;
    private const byte MoreFollows = 1 << NumberBits;

    /// <summary>Ends the text of <paramref name="length"/> bytes that stands at <paramref name="at"/>, and moves past it.</summary>
    public static void EndText(Span<byte> bytes, int length, scoped ref int at)
    {
        bytes[at + length] = EndOfText;
        at += length + 1;
    }

    /// <summary>Reads the text at <paramref name="at"/> and moves past it.</summary>
    public static ReadOnlySpan<byte> Text(ReadOnlySpan<byte> bytes, scoped ref int at)
    {
        ReadOnlySpan<byte> text = bytes[at..];
        text = text[..text.IndexOf(EndOfText)];
        at += text.Length + 1;
        return text;
    }

    /// <summary>Writes a number from 0 at <paramref name="at"/>, seven bits a byte, and moves past it.</summary>
    public static void Put(Span<byte> bytes, long number, scoped ref int at)
    {
        for (; number >= MoreFollows; number >>= NumberBits) bytes[at++] = (byte)(number | MoreFollows);
        bytes[at++] = (byte)number;
    }

    /// <summary>Reads the number at <paramref name="at"/> and moves past it.</summary>
    public static long Number(ReadOnlySpan<byte> bytes, scoped ref int at)
    {
        long number = 0;
        for (int shift = 0; ; shift += NumberBits)
        {
            byte digit = bytes[at++];
            number |= (long)(digit & ~MoreFollows) << shift;
            if (digit < MoreFollows) return number;
        }
    }
}
