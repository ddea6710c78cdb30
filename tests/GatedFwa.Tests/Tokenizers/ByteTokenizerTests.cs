using System.Text;
using GatedFwa.Testing;
using GatedFwa.Tokenizers;

namespace GatedFwa.Tests.Tokenizers;

public sealed class ByteTokenizerTests
{
    private readonly ByteTokenizer _tokenizer = new();

    [Theory]
    [InlineData("")]
    [InlineData("plain")]
    [InlineData("Käse, 水, 🦉\r\n\0")]
    public void Text_comes_back(string text)
    {
        int[] tokens = _tokenizer.Encode(text);
        Assert.Equal(Encoding.UTF8.GetByteCount(text), tokens.Length);
        Assert.Equal(text, _tokenizer.Decode(tokens));
    }

    [Fact]
    public void Every_byte_is_its_own_token()
    {
        byte[] bytes = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        Assert.Equal(Enumerable.Range(0, 256), _tokenizer.Encode(bytes));
    }

    [Fact]
    public void A_boundary_ends_a_character_that_was_cut_and_gives_no_text_itself()
    {
        int[] bytes = _tokenizer.Encode("é");
        Assert.Equal("\uFFFD\uFFFD", _tokenizer.Decode([bytes[0], ByteTokenizer.Boundary, bytes[1]]));
        Assert.Equal("", _tokenizer.Decode([ByteTokenizer.Boundary]));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(257)]
    public void A_token_outside_the_vocabulary_is_refused(int token) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => _tokenizer.Decode([token]));

    [Fact]
    public void A_saved_tokenizer_loads()
    {
        using var folder = new TemporaryFolder();
        _tokenizer.Save(folder["tokenizer.json"]);
        Assert.Equal("héllo", ByteTokenizer.Load(folder["tokenizer.json"]).Decode(_tokenizer.Encode("héllo")));
        Assert.Contains("\"type\": \"byte\"", File.ReadAllText(folder["tokenizer.json"]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type": "bpe", "merges": []}""", "is of type \"bpe\" and only \"byte\" is known")]
    [InlineData("""{"model": {"type": "BPE"}}""", "names no type")]
    [InlineData("""{"type": "byte", "vocabulary_size": 300, "boundary": 256}""", "vocabulary_size 300")]
    [InlineData("""{"type": "byte", "vocabulary_size": 257}""", "lacks the key \"boundary\"")]
    [InlineData("[]", "names no type")]
    [InlineData("{", "is not valid JSON")]
    public void Another_tokenizer_is_refused_with_a_sentence(string json, string part) =>
        Assert.Contains(
            part,
            Assert.Throws<InputException>(() => ByteTokenizer.Parse(Encoding.UTF8.GetBytes(json))).Message,
            StringComparison.Ordinal);
}
