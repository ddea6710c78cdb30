using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace GatedFwa.Checkpoints;

/// <summary>The text of a JSON string without taking memory for it.</summary>
internal static class JsonText
{
    private const byte Backslash = (byte)'\\';
    private const int UnitBytes = 6; // \u and four digits.

    /// <summary>Writes what a JSON string says as UTF-8.</summary>
    /// <param name="json">The string as it stands in JSON that a reader has accepted, without its quotation marks.</param>
    /// <param name="target">Room for as many bytes; may overlap <paramref name="json"/> where it does not begin after it.</param>
    /// <param name="length">The bytes written.</param>
    /// <returns>False where the string is not valid Unicode.</returns>
    public static bool TryUnescape(ReadOnlySpan<byte> json, Span<byte> target, out int length)
    {
        length = 0;
        if (!Utf8.IsValid(json)) return false;
        while (true)
        {
            int plain = json.IndexOf(Backslash);
            if (plain < 0) plain = json.Length;
            json[..plain].CopyTo(target[length..]);
            length += plain;
            json = json[plain..];
            if (json.IsEmpty) return true;
            if (json[1] == (byte)'u')
            {
                if (!TryReadRune(json, out Rune rune)) return false;
                length += rune.EncodeToUtf8(target[length..]);
                json = json[(rune.Utf16SequenceLength * UnitBytes)..];
            }
            else
            {
                target[length++] = json[1] switch
                {
                    (byte)'b' => (byte)'\b',
                    (byte)'f' => (byte)'\f',
                    (byte)'n' => (byte)'\n',
                    (byte)'r' => (byte)'\r',
                    (byte)'t' => (byte)'\t',
                    byte itself => itself,
                };
                json = json[2..];
            }
        }
    }

    /// <summary>One escaped character: two escapes where it lies outside the basic plane.</summary>
    private static bool TryReadRune(ReadOnlySpan<byte> json, out Rune rune)
    {
        char first = Unit(json);
        if (!char.IsSurrogate(first)) return Rune.TryCreate(first, out rune);
        rune = default;
        return json[UnitBytes..].StartsWith("\\u"u8) && Rune.TryCreate(first, Unit(json[UnitBytes..]), out rune);
    }

    private static char Unit(ReadOnlySpan<byte> escape) =>
        (char)ushort.Parse(escape[2..UnitBytes], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
