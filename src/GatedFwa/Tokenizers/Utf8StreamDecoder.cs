using System.Text;

namespace GatedFwa.Tokenizers;

/// <summary>
/// Turns byte tokens into text as they come. A character whose bytes are not all there yet is held back; bytes that can no
/// longer become one give U+FFFD.
/// </summary>
public sealed class Utf8StreamDecoder
{
    // One byte completes at most one character of two UTF-16 units, after the replacement of what it cut short.
    private const int MaxUnits = 4;

    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    /// <summary>Takes one token.</summary>
    /// <param name="token">A byte, or <see cref="ByteTokenizer.Boundary"/>, which ends the text so far.</param>
    /// <returns>The text that is now certain; often empty.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The token is not of the byte vocabulary.</exception>
    public string Push(int token)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(token);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(token, ByteTokenizer.VocabularySize);
        return token == ByteTokenizer.Boundary ? Finish() : Decode([(byte)token], flush: false);
    }

    /// <summary>Ends the text: what was held back gives U+FFFD. The decoder can be used again.</summary>
    public string Finish() => Decode([], flush: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        Span<char> units = stackalloc char[MaxUnits];
        return new string(units[.._decoder.GetChars(bytes, units, flush)]);
    }
}
