using System.Buffers.Binary;
using System.Text;
using GatedFwa.Tensors;

namespace GatedFwa.Tests.Checkpoints.Fuzz;

/// <summary>Damages files: case n of a seed is always the same.</summary>
internal sealed class Mutator(ulong seed, long number)
{
    private const int LengthBytes = 8;
    private static readonly string[] Numbers =
        ["0", "-1", "-0", "1", "3", "2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e9", "1.5", "1e999", "00", "0x10", "NaN", "\"4\"", "null", "[]", "{}", "true"];

    private static readonly string[] Openings = ["[", "{\"a\":", "{\"shape\":[", "{\"__metadata__\":{\"a\":", "\"", "\\u0000", "\\ud800", "/*"];
    private static readonly string[] Structure = ["{", "}", "[", "]", ",", ":", "\"", " ", "\\", "\n", "\0", "\u007f", "é"];

    private static readonly byte[][] Words = [[.. "true"u8], [.. "false"u8], [.. "null"u8]];

    private readonly CounterRandom _random = new CounterRandom(seed).Split((ulong)number);
    private long _drawn;

    /// <summary>A file of any bytes.</summary>
    /// <param name="files">Good files: one is damaged, another may lend it pieces.</param>
    public byte[] Damage(byte[][] files)
    {
        byte[] bytes = Pick(files);
        for (int rounds = 1 + Below(3); rounds > 0; rounds--)
        {
            bytes = Below(6) switch
            {
                0 => FlipBits(bytes),
                1 => bytes[..Below(bytes.Length + 1)],
                2 => Splice(bytes, Pick(files)),
                3 => EditValue(bytes),
                4 => DropLine(bytes),
                _ => Insert(bytes),
            };
        }

        return bytes;
    }

    /// <summary>
    /// A safetensors file: its parts are damaged one by one and put together again, so that damage gets past the first check.
    /// </summary>
    /// <param name="files">Good files.</param>
    public byte[] DamageSafetensors(byte[][] files)
    {
        byte[] file = Pick(files);
        int headerBytes = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        byte[] header = file[LengthBytes..(LengthBytes + headerBytes)], data = file[(LengthBytes + headerBytes)..];
        long? length = null;
        switch (Below(8))
        {
            case 0:
                return Damage(files);
            case 1:
                length = Length(headerBytes, file.Length);
                break;
            case 2:
                data = Below(2) == 0 ? data[..Below(data.Length + 1)] : Splice(data, Pick(files));
                break;
            case 3:
                header = FlipBits(header);
                break;
            case 4:
                header = Insert(header);
                break;
            case 5:
                header = Splice(header, header);
                break;
            default:
                for (int edits = 1 + Below(3); edits > 0; edits--) header = EditValue(header);
                break;
        }

        return SafetensorsBytes.Of(header, data, length);
    }

    private long Length(int headerBytes, int fileBytes) => Below(6) switch
    {
        0 => headerBytes + Below(17) - 8,
        1 => Below(fileBytes + 1),
        2 => fileBytes - LengthBytes + Below(3) - 1,
        3 => 100_000_000 + Below(2),
        4 => long.MinValue + Below(2),
        _ => (long)_random.Bits(_drawn++),
    };

    private byte[] FlipBits(byte[] bytes)
    {
        byte[] flipped = [.. bytes];
        for (int flips = 1 + Below(4); flips > 0 && flipped.Length > 0; flips--) flipped[Below(flipped.Length)] ^= (byte)(1 << Below(8));
        return flipped;
    }

    /// <summary>Replaces a piece by a piece from somewhere else.</summary>
    private byte[] Splice(byte[] bytes, byte[] other)
    {
        int start = Below(bytes.Length + 1), end = start + Below(bytes.Length - start + 1);
        int from = Below(other.Length + 1), to = from + Below(other.Length - from + 1);
        return [.. bytes.AsSpan(0, start), .. other.AsSpan(from, to - from), .. bytes.AsSpan(end)];
    }

    private byte[] DropLine(byte[] bytes)
    {
        int[] ends = [.. bytes.Index().Where(item => item.Item == '\n').Select(item => item.Index)];
        if (ends.Length < 2) return bytes;
        int line = 1 + Below(ends.Length - 1);
        return [.. bytes[..ends[line - 1]], .. bytes[ends[line]..]];
    }

    /// <summary>Replaces one run of digits, or a word, by a number at a limit, by another value of the file, or by its neighbour.</summary>
    private byte[] EditValue(byte[] bytes)
    {
        List<Range> runs = Values(bytes);
        if (runs.Count == 0) return bytes;
        Range run = Pick([.. runs]);
        string replacement = Below(4) switch
        {
            0 => Encoding.ASCII.GetString(bytes[Pick([.. runs])]),
            1 when long.TryParse(Encoding.ASCII.GetString(bytes[run]), out long value) => $"{value + Below(17) - 8}",
            _ => Pick(Numbers),
        };
        return [.. bytes[..run.Start], .. Encoding.UTF8.GetBytes(replacement), .. bytes[run.End..]];
    }

    /// <summary>Inserts structure, often nested deeper than anyone should follow.</summary>
    private byte[] Insert(byte[] bytes)
    {
        int at = Below(bytes.Length + 1);
        string text = Below(2) == 0 ? Pick(Structure) : string.Concat(Enumerable.Repeat(Pick(Openings), 1 << Below(11)));
        return [.. bytes[..at], .. Encoding.UTF8.GetBytes(text), .. bytes[at..]];
    }

    private static List<Range> Values(byte[] bytes)
    {
        var runs = new List<Range>();
        for (int start = 0; start < bytes.Length; start++)
        {
            int end = start;
            while (end < bytes.Length && char.IsAsciiDigit((char)bytes[end])) end++;
            if (end == start) end += Array.Find(Words, word => bytes.AsSpan(start).StartsWith(word))?.Length ?? 0;
            if (end == start) continue;
            runs.Add(start..end);
            start = end;
        }

        return runs;
    }

    private T Pick<T>(T[] choices) => choices[Below(choices.Length)];

    private int Below(int limit) => (int)_random.Below(_drawn++, limit);
}
