using System.Text.Json;

namespace GatedFwa.Checkpoints;

/// <summary>
/// Reads the JSON header of a safetensors file into a table that takes the place of the JSON, byte by byte behind the reader.
/// </summary>
/// <remarks>Everything wrong with it is a <see cref="FormatException"/> whose message is the middle of a sentence.</remarks>
internal ref struct SafetensorsHeader
{
    public const string MetadataKey = "__metadata__";

    // The format needs a depth of 3. A tensor of more axes than this is a mistake or an attack.
    private const int MaxDepth = 4;
    private const int MaxRank = 16;

    private readonly byte[] _bytes;
    private Utf8JsonReader _reader;
    private int _packed; // Never beyond what the reader has consumed.
    private ReadOnlySpan<byte> _tensor;

    private SafetensorsHeader(byte[] json)
    {
        _bytes = json;
        _reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
    }

    /// <summary>Reads all entries and the metadata.</summary>
    /// <param name="json">The header. Its bytes become the table's.</param>
    /// <exception cref="FormatException">The header is not one.</exception>
    public static SafetensorsTable Parse(byte[] json)
    {
        // As the reference: a header begins at once, so that no other kind of file passes for one.
        if (json.Length == 0 || json[0] != (byte)'{') throw new FormatException("its header is not a JSON object");
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

    private SafetensorsTable ParseAll()
    {
        int count = 0;
        Range? metadata = null;
        Read();
        while (ReadKey(out ReadOnlySpan<byte> name))
        {
            if (!name.SequenceEqual("__metadata__"u8))
            {
                ParseEntry(name);
                count++;
                continue;
            }

            if (metadata is not null) throw new FormatException($"its header names {Phrase.Quote(name)} twice");
            int start = _packed;
            ParseMetadata();
            metadata = start.._packed;
        }

        Read(); // Throws where something but white space follows.
        return new SafetensorsTable(_bytes, _packed, count, metadata ?? 0..0);
    }

    private void ParseMetadata()
    {
        if (!Read(JsonTokenType.StartObject)) throw new FormatException("its metadata is not an object");
        while (ReadKey(out ReadOnlySpan<byte> key))
        {
            Keep(key);
            if (!Read(JsonTokenType.String)) throw new FormatException($"its metadata {Phrase.Quote(key)} is not a string");
            Keep(Text());
        }
    }

    private void ParseEntry(ReadOnlySpan<byte> name)
    {
        Keep(name);
        _tensor = name;
        SafetensorsType? type = null;
        int rank = -1;
        Span<int> extents = stackalloc int[MaxRank];
        (long Start, long End)? offsets = null;
        if (!Read(JsonTokenType.StartObject)) throw Complaint("is not described by an object");
        while (ReadKey(out ReadOnlySpan<byte> key))
        {
            if (key.SequenceEqual("dtype"u8))
            {
                if (type is not null) throw Complaint("has two dtype");
                type = ParseType();
            }
            else if (key.SequenceEqual("shape"u8))
            {
                if (rank >= 0) throw Complaint("has two shape");
                rank = ParseShape(extents);
            }
            else if (key.SequenceEqual("data_offsets"u8))
            {
                if (offsets is not null) throw Complaint("has two data_offsets");
                offsets = ParseOffsets();
            }
            else
            {
                throw Complaint($"has the unknown property {Phrase.Quote(key)}");
            }
        }

        if (type is not { } t) throw Complaint("has no dtype");
        if (rank < 0) throw Complaint("has no shape");
        if (offsets is not { } o) throw Complaint("has no data_offsets");
        PackedEntry.Put(_bytes, o.Start, o.End, t, extents[..rank], ref _packed);
    }

    private SafetensorsType ParseType()
    {
        if (!Read(JsonTokenType.String)) throw Complaint("has a dtype that is not a string");
        ReadOnlySpan<byte> name = Text();
        return SafetensorsTypes.TryParse(name, out SafetensorsType type)
            ? type
            : throw Complaint($"has the unknown dtype {Phrase.Quote(name)}");
    }

    /// <summary>Reads extents; gives how many there are.</summary>
    private int ParseShape(scoped Span<int> extents)
    {
        int rank = 0;
        if (!Read(JsonTokenType.StartArray)) throw Complaint("has a shape that is not a list");
        while (Read() && _reader.TokenType != JsonTokenType.EndArray)
        {
            if (rank == MaxRank) throw Complaint($"has more than {MaxRank} axes");
            if (_reader.TokenType != JsonTokenType.Number || !_reader.TryGetInt32(out extents[rank]) || extents[rank] < 0)
                throw Complaint($"has an extent that is not a whole number from 0 to {int.MaxValue}");
            rank++;
        }

        return rank;
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

    /// <summary>The next property's name, good until the next text; false at the end of the object.</summary>
    private bool ReadKey(out ReadOnlySpan<byte> key)
    {
        bool isKey = Read() && _reader.TokenType == JsonTokenType.PropertyName;
        key = isKey ? Text() : default;
        return isKey;
    }

    private bool Read(JsonTokenType expected) => Read() && _reader.TokenType == expected;

    private bool Read()
    {
        // No true, false or null belongs here, and the reader's error would copy all that stands in the place of one.
        ReadOnlySpan<byte> rest = _bytes.AsSpan((int)_reader.BytesConsumed);
        ReadOnlySpan<byte> ahead = rest.TrimStart(" \t\r\n,:"u8);
        if (!ahead.IsEmpty && char.IsAsciiLetter((char)ahead[0])) throw NotJson();
        return _reader.Read();
    }

    /// <summary>The current token's text, good until the next: it stands where <see cref="Keep"/> would keep it.</summary>
    private readonly ReadOnlySpan<byte> Text()
    {
        Span<byte> target = _bytes.AsSpan(_packed);
        return JsonText.TryUnescape(_reader.ValueSpan, target, out int length)
            ? target[..length]
            : throw new FormatException($"its header holds text that is not valid Unicode at byte {_reader.TokenStartIndex}");
    }

    /// <summary>Makes the last text part of the table.</summary>
    private void Keep(ReadOnlySpan<byte> text) => PackedBytes.EndText(_bytes, text.Length, ref _packed);

    private readonly FormatException Complaint(string about) => new($"its tensor {Phrase.Quote(_tensor)} {about}");

    private readonly FormatException NotJson(Exception? cause = null) =>
        new($"its header is not valid JSON at byte {_reader.BytesConsumed}", cause);
}
