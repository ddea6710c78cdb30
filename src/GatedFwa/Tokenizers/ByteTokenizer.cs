using System.Text;
using GatedFwa.Checkpoints;

namespace GatedFwa.Tokenizers;

/// <summary>Bytes as tokens: ids 0 … 255 are the bytes of UTF-8, 256 stands between documents. No text is out of its vocabulary.</summary>
public sealed class ByteTokenizer
{
    /// <summary>The token that stands before a document and after it; no text contains it.</summary>
    public const int Boundary = 256;

    /// <summary>The number of token ids.</summary>
    public const int VocabularySize = 257;

    private const string TypeName = "byte";

    /// <summary>The tokens of a text, one for each byte of its UTF-8.</summary>
    /// <param name="text">The text.</param>
    public int[] Encode(string text) => Encode(Encoding.UTF8.GetBytes(text));

    /// <summary>The tokens of bytes.</summary>
    /// <param name="bytes">Any bytes, UTF-8 or not.</param>
    public int[] Encode(ReadOnlySpan<byte> bytes)
    {
        var tokens = new int[bytes.Length];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = bytes[i];
        return tokens;
    }

    /// <summary>The text of tokens. Boundaries give nothing; bytes that are not UTF-8 give U+FFFD.</summary>
    /// <param name="tokens">Token ids.</param>
    /// <exception cref="ArgumentOutOfRangeException">A token is not of this vocabulary.</exception>
    public string Decode(ReadOnlySpan<int> tokens)
    {
        Utf8StreamDecoder decoder = NewDecoder();
        var text = new StringBuilder(tokens.Length);
        foreach (int token in tokens) text.Append(decoder.Push(token));
        return text.Append(decoder.Finish()).ToString();
    }

    /// <summary>A decoder for tokens that come one at a time.</summary>
    public Utf8StreamDecoder NewDecoder() => new();

    /// <summary>What a tokenizer.json says of this tokenizer.</summary>
    public string ToJson() => StrictJson.Write(
        new Settings { Type = TypeName, VocabularySize = VocabularySize, Boundary = Boundary }, SettingsJson.Default.TokenizerSettings);

    /// <summary>Writes a tokenizer.json.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public void Save(string path) => AtomicFile.WriteText(path, ToJson());

    /// <summary>Reads a tokenizer.json.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputException">The file cannot be read, or describes a tokenizer of another type.</exception>
    public static ByteTokenizer Load(string path) => Parse(StrictJson.ReadBytes(path), path);

    /// <summary>Reads the text of a tokenizer.json.</summary>
    /// <param name="json">UTF-8.</param>
    /// <param name="source">What to call it in errors.</param>
    /// <exception cref="InputException">It describes a tokenizer of another type.</exception>
    public static ByteTokenizer Parse(ReadOnlyMemory<byte> json, string source = "tokenizer.json")
    {
        string? type = StrictJson.Text(json, source, "type");
        if (type != TypeName)
        {
            string kind = type is null ? "names no type" : $"is of type {Phrase.Quote(type)}";
            throw new InputException(
                $"{Phrase.Quote(source)} {kind} and only \"{TypeName}\" is known here; " +
                "use a model with a byte tokenizer or a newer gatedfwa.");
        }

        var settings = StrictJson.Parse<Settings>(json, source);
        if (settings is { VocabularySize: VocabularySize, Boundary: Boundary }) return new ByteTokenizer();
        throw new InputException(
            $"{Phrase.Quote(source)} has vocabulary_size {settings.VocabularySize} and boundary {settings.Boundary} where bytes need " +
            $"{VocabularySize} and {Boundary}; correct it.");
    }

    internal sealed record Settings
    {
        public required string Type { get; init; }

        public required int VocabularySize { get; init; }

        public required int Boundary { get; init; }
    }
}
