using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace GatedFwa.Checkpoints;

/// <summary>
/// Settings as JSON, read without guessing: keys are snake_case and known, values have the right type, nothing is named twice.
/// Everything else is one sentence that names the file, the key and the remedy.
/// </summary>
internal static class StrictJson
{
    // A file of settings is a page or two of text; more is another kind of file. (A checkpoint's metadata may be longer: it
    // holds every path that a shell made of a pattern.)
    private const int MaxBytes = 1 << 20;
    private const int MaxDepth = 16;

    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Strict)
    {
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        IgnoreReadOnlyProperties = true, // What a record computes from its settings is not a setting.
        MaxDepth = MaxDepth,
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // Text for people; no browser reads it.
    };

    /// <summary>Reads settings from a file.</summary>
    /// <typeparam name="T">A record of settings.</typeparam>
    /// <param name="path">The file.</param>
    /// <exception cref="InputException">The file cannot be read, or does not hold such settings.</exception>
    public static T Read<T>(string path) => Parse<T>(ReadBytes(path), path);

    /// <summary>The content of a file that is small enough to hold settings.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputException">The file cannot be read, or is too large.</exception>
    public static byte[] ReadBytes(string path) => InputFile.ReadAll(path, MaxBytes);

    /// <summary>Reads settings from text.</summary>
    /// <typeparam name="T">A record of settings.</typeparam>
    /// <param name="json">The text.</param>
    /// <param name="source">What to call it in errors, such as <c>config.json</c>.</param>
    /// <exception cref="InputException">The text does not hold such settings.</exception>
    public static T Parse<T>(string json, string source) => Parse<T>(Encoding.UTF8.GetBytes(json), source);

    /// <summary>Reads settings from UTF-8.</summary>
    /// <typeparam name="T">A record of settings.</typeparam>
    /// <param name="json">The text, with or without a byte order mark.</param>
    /// <param name="source">What to call it in errors, such as <c>config.json</c>.</param>
    /// <exception cref="InputException">The text does not hold such settings.</exception>
    public static T Parse<T>(ReadOnlyMemory<byte> json, string source) => Guarded(json, Phrase.Quote(source), root =>
    {
        JsonSchema.Check(root, Options.GetTypeInfo(typeof(T)), source);
        return root.Deserialize<T>(Options)!;
    });

    /// <summary>What one line of a file says, where each line is an object of its own and may have more keys than are read.</summary>
    /// <typeparam name="T">What is made of it.</typeparam>
    /// <param name="json">UTF-8, with or without a byte order mark.</param>
    /// <param name="place">The file and the line, as errors shall begin.</param>
    /// <param name="read">Reads the object; it is gone afterwards.</param>
    /// <exception cref="InputException">The line is not JSON, or no object.</exception>
    public static T Line<T>(ReadOnlyMemory<byte> json, string place, Func<JsonElement, T> read) => Guarded(
        json,
        place,
        root => root.ValueKind == JsonValueKind.Object
            ? read(root)
            : throw new InputException($"{place} is {JsonSchema.Kind(root)} where an object {{ … }} is expected; correct it."),
        isLine: true);

    /// <summary>
    /// The text under one key of an object whose other keys are not known yet: the type of a file. Null where there is none.
    /// </summary>
    /// <param name="json">UTF-8, with or without a byte order mark.</param>
    /// <param name="source">What to call it in errors.</param>
    /// <param name="key">The key.</param>
    /// <exception cref="InputException">The text is not JSON.</exception>
    public static string? Text(ReadOnlyMemory<byte> json, string source, string key) => Guarded(json, Phrase.Quote(source), root =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null);

    /// <summary>The settings as indented JSON, ending in a new line.</summary>
    /// <typeparam name="T">A record of settings.</typeparam>
    /// <param name="settings">The settings.</param>
    public static string Write<T>(T settings) => JsonSerializer.Serialize(settings, Options) + "\n";

    /// <summary>The same by code that was written for the type: reflection takes 50 ms of a start (docs/log.md).</summary>
    /// <typeparam name="T">A record of settings.</typeparam>
    /// <param name="settings">The settings.</param>
    /// <param name="type">Has that code, for names in snake_case and without read-only properties.</param>
    public static string Write<T>(T settings, JsonTypeInfo<T> type)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(text, new JsonWriterOptions
        {
            Indented = Options.WriteIndented,
            NewLine = Options.NewLine,
            Encoder = Options.Encoder,
        }))
        {
            type.SerializeHandler!(writer, settings);
        }

        return Encoding.UTF8.GetString(text.WrittenSpan) + "\n";
    }

    private static T Guarded<T>(ReadOnlyMemory<byte> json, string name, Func<JsonElement, T> read, bool isLine = false)
    {
        if (json.Span.StartsWith("\uFEFF"u8)) json = json[3..];
        try
        {
            CheckLiterals(json.Span);
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions
            {
                MaxDepth = MaxDepth,
                AllowDuplicateProperties = false,
            });
            return read(document.RootElement);
        }
        catch (JsonException e)
        {
            string place = !isLine && e.LineNumber is { } line ? $" in line {line + 1}" : "";
            throw new InputException($"{name} is not valid JSON{place}: {FirstSentence(e.Message)}; correct it.", e);
        }
        catch (InvalidOperationException e)
        {
            throw new InputException($"{name} holds text that is not valid Unicode; correct it.", e);
        }
    }

    /// <summary>
    /// Refuses words that are no JSON. The parser would, too, but its error copies all that follows, escaped: eight times a hostile
    /// file.
    /// </summary>
    private static void CheckLiterals(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        do
        {
            ReadOnlySpan<byte> ahead = json[(int)reader.BytesConsumed..].TrimStart(" \t\r\n,:"u8);
            bool isWord = !ahead.IsEmpty && char.IsAsciiLetter((char)ahead[0]);
            if (!isWord || ahead.StartsWith("true"u8) || ahead.StartsWith("false"u8) || ahead.StartsWith("null"u8)) continue;
            string word = Encoding.ASCII.GetString(ahead[..Math.Min(ahead.Length, 12)]);
            throw new JsonException(
                $"{Phrase.Quote(word)} is no value",
                path: null,
                lineNumber: json[..^ahead.Length].Count((byte)'\n'),
                bytePositionInLine: null);
        }
        while (reader.Read());
    }

    // The serializer appends its own idea of path and position.
    private static string FirstSentence(string message)
    {
        int end = message.IndexOf(". ", StringComparison.Ordinal);
        return Phrase.Printable(end < 0 ? message.TrimEnd('.') : message[..end]);
    }
}
