using GatedFwa.Tokenizers;
using GatedFwa.Training.Evaluation.Tasks;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

public sealed class ContinuationTests
{
    [Theory]
    [InlineData("ab", " c", "ab", " c")]
    [InlineData("ab  ", " c", "ab", "   c")] // Spaces at the end of the context belong to the continuation.
    [InlineData("ab\n", "c", "ab", "\nc")]
    [InlineData("é", "ü", "é", "ü")]
    public void Tokens_are_split_behind_the_last_letter_of_the_context(string context, string text, string before, string after)
    {
        TokenContinuation encoded = new Continuation(context, text).Encode(new ByteTokenizer(), null);
        Assert.Equal(before, Decode(encoded.Tokens[..encoded.Start]));
        Assert.Equal(after, Decode(encoded.Tokens[encoded.Start..]));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" \n")]
    public void Nothing_before_is_the_beginning_of_a_document(string context)
    {
        TokenContinuation encoded = new Continuation(context, " c").Encode(new ByteTokenizer(), null);
        Assert.Equal([ByteTokenizer.Boundary, .. new ByteTokenizer().Encode(context + " c")], encoded.Tokens.ToArray());
        Assert.Equal(1, encoded.Start);
    }

    [Theory]
    [InlineData(100, "abcdef|gh")]
    [InlineData(7, "abcdef|gh")] // The last of eight tokens is predicted, not read.
    [InlineData(6, "bcdef|gh")]
    [InlineData(2, "f|gh")]
    public void Too_long_a_context_loses_its_beginning(int maxLength, string expected)
    {
        TokenContinuation encoded = new Continuation("abcdef", "gh").Encode(new ByteTokenizer(), maxLength);
        Assert.Equal(expected, $"{Decode(encoded.Tokens[..encoded.Start])}|{Decode(encoded.Tokens[encoded.Start..])}");
    }

    [Fact]
    public void An_answer_longer_than_the_model_reads_is_refused() =>
        Assert.Contains(
            "takes 2 tokens, and the model reads 1",
            Assert.Throws<InputException>(() => new Continuation("abcdef", "gh").Encode(new ByteTokenizer(), 1)).Message,
            StringComparison.Ordinal);

    [Fact]
    public void Python_counts_characters_and_knows_more_spaces()
    {
        Assert.Equal(3, PythonText.Length("a😀é"));
        Assert.Equal("a", PythonText.Strip("\x1f\u00a0\u3000 a\x1c\u0085"));
        Assert.Equal("\u200ba", PythonText.Strip("\u200ba")); // No space in Unicode's eyes.
        Assert.Equal("a", PythonText.WithoutLast("a😀"));
        Assert.Equal("", PythonText.WithoutLast(""));
        Assert.Equal("", PythonText.Capitalize(""));
    }

    private static string Decode(ReadOnlyMemory<int> tokens) => new ByteTokenizer().Decode(tokens.Span);
}
