using System.Text.Json;
using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>Reads the JSON header of a safetensors file without building a document: memory is that of the names.</summary>
/// <remarks>Everything wrong with it is a <see cref="FormatException"/> whose message is the middle of a sentence.</remarks>
internal static class SafetensorsHeader
{
    public const string MetadataKey = "__metadata__";

    /// <summary>The metadata under which this library keeps the CRC-32C of the data.</summary>
    public const string ChecksumKey = "crc32c";

    // The format needs a depth of 3. A tensor of more axes than this is a mistake or an attack.
    private const int MaxDepth = 4;
    private const int MaxRank = 16;

    /// <summary>Reads all entries, in the order of their data, and the metadata.</summary>
    /// <param name="json">The header.</param>
    /// <exception cref="FormatException">The header is not one.</exception>
    public static (List<SafetensorsEntry> Entries, Dictionary<string, string> Metadata) Parse(ReadOnlySpan<byte> json)
    {
        // As the reference: a header begins at once, so that no other kind of file passes for one.
        if (json.IsEmpty || json[0] != (byte)'{') throw new FormatException("its header is not a JSON object");
        try
        {
            return ParseObject(json);
        }
        catch (JsonException e)
        {
            throw new FormatException($"its header is not valid JSON at byte {e.BytePositionInLine}", e);
        }
    }

    private static (List<SafetensorsEntry> Entries, Dictionary<string, string> Metadata) ParseObject(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        var names = new HashSet<string>();
        var entries = new List<SafetensorsEntry>();
        var metadata = new Dictionary<string, string>();
        reader.Read();
        while (ReadKey(ref reader) is { } name)
        {
            if (!names.Add(name)) throw new FormatException($"its header names {Phrase.Quote(name)} twice");
            if (name == MetadataKey) ParseMetadata(ref reader, metadata);
            else entries.Add(ParseEntry(ref reader, name));
        }

        reader.Read(); // Throws where something but white space follows.
        entries.Sort((a, b) => (a.Start, a.End).CompareTo((b.Start, b.End)));
        return (entries, metadata);
    }

    private static void ParseMetadata(ref Utf8JsonReader reader, Dictionary<string, string> metadata)
    {
        Expect(ref reader, JsonTokenType.StartObject, "its metadata is not an object");
        while (ReadKey(ref reader) is { } key)
        {
            Expect(ref reader, JsonTokenType.String, $"its metadata {Phrase.Quote(key)} is not a string");
            if (!metadata.TryAdd(key, Text(ref reader))) throw new FormatException($"its metadata names {Phrase.Quote(key)} twice");
        }
    }

    private static SafetensorsEntry ParseEntry(ref Utf8JsonReader reader, string name)
    {
        string tensor = $"its tensor {Phrase.Quote(name)}";
        SafetensorsType? type = null;
        Shape? shape = null;
        (long Start, long End)? offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, $"{tensor} is not described by an object");
        while (ReadKey(ref reader) is { } key)
        {
            bool again = key switch { "dtype" => type.HasValue, "shape" => shape.HasValue, "data_offsets" => offsets.HasValue, _ => false };
            if (again) throw new FormatException($"{tensor} has two {key}");
            switch (key)
            {
                case "dtype":
                    type = ParseType(ref reader, tensor);
                    break;
                case "shape":
                    shape = ParseShape(ref reader, tensor);
                    break;
                case "data_offsets":
                    offsets = ParseOffsets(ref reader, tensor);
                    break;
                default:
                    throw new FormatException($"{tensor} has the unknown property {Phrase.Quote(key)}");
            }
        }

        if (type is not { } t) throw new FormatException($"{tensor} has no dtype");
        if (shape is not { } s) throw new FormatException($"{tensor} has no shape");
        if (offsets is not { } o) throw new FormatException($"{tensor} has no data_offsets");
        return new SafetensorsEntry(name, t, s, o.Start, o.End);
    }

    private static SafetensorsType ParseType(ref Utf8JsonReader reader, string tensor)
    {
        Expect(ref reader, JsonTokenType.String, $"{tensor} has a dtype that is not a string");
        string name = Text(ref reader);
        return SafetensorsTypes.TryParse(name, out SafetensorsType type) ? type : throw new FormatException($"{tensor} has the unknown dtype {Phrase.Quote(name)}");
    }

    private static Shape ParseShape(ref Utf8JsonReader reader, string tensor)
    {
        Span<int> extents = stackalloc int[MaxRank];
        int rank = 0;
        Expect(ref reader, JsonTokenType.StartArray, $"{tensor} has a shape that is not a list");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (rank == MaxRank) throw new FormatException($"{tensor} has more than {MaxRank} axes");
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out extents[rank]) || extents[rank] < 0)
                throw new FormatException($"{tensor} has an extent that is not a whole number from 0 to {int.MaxValue}");
            rank++;
        }

        return Shape.Create(extents[..rank]);
    }

    private static (long Start, long End) ParseOffsets(ref Utf8JsonReader reader, string tensor)
    {
        Span<long> offsets = stackalloc long[2];
        string expectation = $"{tensor} has data_offsets that are not two whole numbers";
        Expect(ref reader, JsonTokenType.StartArray, expectation);
        foreach (ref long offset in offsets)
        {
            Expect(ref reader, JsonTokenType.Number, expectation);
            if (!reader.TryGetInt64(out offset) || offset < 0) throw new FormatException(expectation);
        }

        Expect(ref reader, JsonTokenType.EndArray, expectation);
        return (offsets[0], offsets[1]);
    }

    /// <summary>The next property's name, or null at the end of the object.</summary>
    private static string? ReadKey(ref Utf8JsonReader reader) => reader.Read() && reader.TokenType == JsonTokenType.PropertyName ? Text(ref reader) : null;

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string complaint)
    {
        if (!reader.Read() || reader.TokenType != type) throw new FormatException(complaint);
    }

    private static string Text(ref Utf8JsonReader reader)
    {
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new FormatException($"its header holds text that is not valid Unicode at byte {reader.TokenStartIndex}", e);
        }
    }
}
