using System.Text.Json;
using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>Reads the JSON header of a safetensors file without building a document: memory is that of the names.</summary>
/// <remarks>Everything wrong with it is a <see cref="FormatException"/> whose message is the middle of a sentence.</remarks>
internal ref struct SafetensorsHeader
{
    public const string MetadataKey = "__metadata__";

    // The format needs a depth of 3. A tensor of more axes than this is a mistake or an attack.
    private const int MaxDepth = 4;
    private const int MaxRank = 16;

    private readonly ReadOnlySpan<byte> _json;
    private Utf8JsonReader _reader;
    private string _tensor = "";

    private SafetensorsHeader(ReadOnlySpan<byte> json)
    {
        _json = json;
        _reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
    }

    /// <summary>Reads all entries by name, and the metadata.</summary>
    /// <param name="json">The header.</param>
    /// <exception cref="FormatException">The header is not one.</exception>
    public static (Dictionary<string, SafetensorsEntry> Entries, Dictionary<string, string> Metadata) Parse(ReadOnlySpan<byte> json)
    {
        // As the reference: a header begins at once, so that no other kind of file passes for one.
        if (json.IsEmpty || json[0] != (byte)'{') throw new FormatException("its header is not a JSON object");
        var header = new SafetensorsHeader(json);
        try
        {
            return header.ParseAll();
        }
        catch (JsonException e)
        {
            throw header.NotJson(e);
        }
    }

    private (Dictionary<string, SafetensorsEntry> Entries, Dictionary<string, string> Metadata) ParseAll()
    {
        var entries = new Dictionary<string, SafetensorsEntry>();
        Dictionary<string, string>? metadata = null;
        Read();
        while (ReadKey() is { } name)
        {
            if (entries.ContainsKey(name) || (name == MetadataKey && metadata is not null))
                throw new FormatException($"its header names {Phrase.Quote(name)} twice");
            if (name == MetadataKey) metadata = ParseMetadata();
            else entries.Add(name, ParseEntry(name));
        }

        Read(); // Throws where something but white space follows.
        return (entries, metadata ?? []);
    }

    private Dictionary<string, string> ParseMetadata()
    {
        var metadata = new Dictionary<string, string>();
        if (!Read(JsonTokenType.StartObject)) throw new FormatException("its metadata is not an object");
        while (ReadKey() is { } key)
        {
            if (!Read(JsonTokenType.String)) throw new FormatException($"its metadata {Phrase.Quote(key)} is not a string");
            if (!metadata.TryAdd(key, Text())) throw new FormatException($"its metadata names {Phrase.Quote(key)} twice");
        }

        return metadata;
    }

    private SafetensorsEntry ParseEntry(string name)
    {
        _tensor = name;
        SafetensorsType? type = null;
        Shape? shape = null;
        (long Start, long End)? offsets = null;
        if (!Read(JsonTokenType.StartObject)) throw Complaint("is not described by an object");
        while (ReadKey() is { } key)
        {
            bool again = key switch { "dtype" => type.HasValue, "shape" => shape.HasValue, "data_offsets" => offsets.HasValue, _ => false };
            if (again) throw Complaint($"has two {key}");
            switch (key)
            {
                case "dtype":
                    type = ParseType();
                    break;
                case "shape":
                    shape = ParseShape();
                    break;
                case "data_offsets":
                    offsets = ParseOffsets();
                    break;
                default:
                    throw Complaint($"has the unknown property {Phrase.Quote(key)}");
            }
        }

        if (type is not { } t) throw Complaint("has no dtype");
        if (shape is not { } s) throw Complaint("has no shape");
        if (offsets is not { } o) throw Complaint("has no data_offsets");
        return new SafetensorsEntry(name, t, s, o.Start, o.End);
    }

    private SafetensorsType ParseType()
    {
        if (!Read(JsonTokenType.String)) throw Complaint("has a dtype that is not a string");
        string name = Text();
        return SafetensorsTypes.TryParse(name, out SafetensorsType type)
            ? type
            : throw Complaint($"has the unknown dtype {Phrase.Quote(name)}");
    }

    private Shape ParseShape()
    {
        Span<int> extents = stackalloc int[MaxRank];
        int rank = 0;
        if (!Read(JsonTokenType.StartArray)) throw Complaint("has a shape that is not a list");
        while (Read() && _reader.TokenType != JsonTokenType.EndArray)
        {
            if (rank == MaxRank) throw Complaint($"has more than {MaxRank} axes");
            if (_reader.TokenType != JsonTokenType.Number || !_reader.TryGetInt32(out extents[rank]) || extents[rank] < 0)
                throw Complaint($"has an extent that is not a whole number from 0 to {int.MaxValue}");
            rank++;
        }

        return Shape.Create(extents[..rank]);
    }

    private (long Start, long End) ParseOffsets()
    {
        const string Expectation = "has data_offsets that are not two whole numbers";
        Span<long> offsets = stackalloc long[2];
        if (!Read(JsonTokenType.StartArray)) throw Complaint(Expectation);
        foreach (ref long offset in offsets)
        {
            if (!Read(JsonTokenType.Number) || !_reader.TryGetInt64(out offset) || offset < 0) throw Complaint(Expectation);
        }

        return Read(JsonTokenType.EndArray) ? (offsets[0], offsets[1]) : throw Complaint(Expectation);
    }

    /// <summary>The next property's name, or null at the end of the object.</summary>
    private string? ReadKey() => Read() && _reader.TokenType == JsonTokenType.PropertyName ? Text() : null;

    private bool Read(JsonTokenType expected) => Read() && _reader.TokenType == expected;

    private bool Read()
    {
        // No true, false or null belongs here, and the reader's error would copy all that stands in the place of one.
        ReadOnlySpan<byte> ahead = _json[(int)_reader.BytesConsumed..].TrimStart(" \t\r\n,:"u8);
        if (!ahead.IsEmpty && char.IsAsciiLetter((char)ahead[0])) throw NotJson();
        return _reader.Read();
    }

    private string Text()
    {
        try
        {
            return _reader.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new FormatException($"its header holds text that is not valid Unicode at byte {_reader.TokenStartIndex}", e);
        }
    }

    private readonly FormatException Complaint(string about) => new($"its tensor {Phrase.Quote(_tensor)} {about}");

    private readonly FormatException NotJson(Exception? cause = null) =>
        new($"its header is not valid JSON at byte {_reader.BytesConsumed}", cause);
}
