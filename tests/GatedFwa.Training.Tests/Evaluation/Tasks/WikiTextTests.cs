using System.Text.Json;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Tokenizers;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;
using GatedFwa.Training.Evaluation.Tasks;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

public sealed class WikiTextTests : TensorTest
{
    [Theory]
    [InlineData("the dogs ' bowl", "the dogs' bowl")]
    [InlineData("a well @-@ known 1 @,@ 500 @.@ 5", "a well-known 1,500.5")]
    [InlineData("so : a ; b . c ! d ? e , f", "so: a; b. c! d? e, f")]
    [InlineData("( a b ) [ c ] { d }", "(a b) [c] {d}")]
    [InlineData("he said \" go \" and ' halt '", "he said \"go\" and 'halt'")]
    [InlineData(" = = = = Deep = = = = ", " ==== Deep ==== ")]
    [InlineData(" = = Part = = ", " == Part == ")]
    [InlineData(" = Title = \n", " = Title =\n")]
    [InlineData("40 ° N of", "40°N of")] // The degree takes the space that " N " would need.
    [InlineData("in N days", "in 1 days")]
    [InlineData("one \n two", "one\ntwo")]
    [InlineData("the cat 's tail", "the cat's tail")]
    [InlineData("/' 7/", "/'[0-9]/")]
    [InlineData("(\x1c a \x1f)", "(a)")]
    public void Undoes_the_tokens_of_the_data_set(string page, string expected) => Assert.Equal(expected, WikiText.Detokenise(page));

    [Theory]
    [InlineData("one", 1)]
    [InlineData("one two\n three", 3)]
    [InlineData(" one two ", 4)] // The empty pieces at both ends count, as in the harness.
    [InlineData("one\x1ftwo\u00a0three", 3)]
    public void Words_are_what_lies_between_white_space(string page, int words) => Assert.Equal(words, WordPerplexity.Words(page));

    [Fact]
    public void Windows_follow_each_other_with_one_token_of_context_and_the_last_with_more()
    {
        Assert.Equal(["#>abcd", "d>efgh", "fgh>ij"], WordPerplexity.Windows(new ByteTokenizer(), "abcdefghij", 4).Select(Show));
        Assert.Equal(["#>abcdefghij"], WordPerplexity.Windows(new ByteTokenizer(), "abcdefghij", null).Select(Show));
        Assert.Equal(["#>abcdefghij"], WordPerplexity.Windows(new ByteTokenizer(), "abcdefghij", 10).Select(Show));
    }

    [Fact]
    public void Windows_predict_each_token_once_and_never_read_more_than_they_may()
    {
        for (int length = 1; length < 40; length++)
        {
            string text = string.Concat(Enumerable.Range(0, length).Select(i => (char)('A' + i)));
            for (int most = 1; most < 15; most++)
            {
                TokenContinuation[] windows = [.. WordPerplexity.Windows(new ByteTokenizer(), text, most)];
                Assert.Equal(text, string.Concat(windows.Select(window => Show(window).Split('>')[1])));
                Assert.All(windows, window => Assert.InRange(window.Tokens.Length - 1, 1, most));
                // Behind the first window, all that fits is read.
                Assert.All(windows.Skip(1), window => Assert.Equal(most, window.Tokens.Length - 1));
            }
        }
    }

    [Fact]
    public void A_model_that_reads_more_than_there_is_reads_all_of_it() =>
        Assert.Equal("#>ABC", Show(Assert.Single(WordPerplexity.Windows(new ByteTokenizer(), "ABC", int.MaxValue))));

    [Fact]
    public void Perplexity_counts_words_and_bytes_as_they_were_and_scores_what_the_model_is_given()
    {
        using var folder = new TemporaryFolder();
        using var model = new LanguageModel(TinyRun.Model with { Dropout = 0 }, seed: 1);
        string[] pages = ["a well @-@ made é ( house ) .\n", " = Title = \n it stood there , quietly ."];
        string path = folder.Write("wikitext.jsonl", string.Concat(pages.Select(page => JsonSerializer.Serialize(new { page }) + "\n")));
        double nats = pages.Sum(page => Evaluator.Evaluate(model, Texts.Stream(WikiText.Detokenise(page))).Nats);
        PreparedTask task = EvaluationTask.Parse("wikitext").Prepare(new() { Files = [path] });
        Dictionary<string, TaskResult> results = task.Evaluate(model).ToDictionary(result => result.Metric);

        const int Words = 10 + 10, Bytes = 31 + 39;
        Assert.Equal(Math.Exp(nats / Words), results["word_perplexity"].Value, Math.Exp(nats / Words) * 1e-5);
        Assert.Equal(Math.Exp(nats / Bytes), results["byte_perplexity"].Value, Math.Exp(nats / Bytes) * 1e-5);
        Assert.Equal(nats / Bytes / Math.Log(2), results["bits_per_byte"].Value, 1e-5);
        Assert.All(results.Values, result => Assert.Equal((2, null), (result.Count, result.StandardError)));
    }

    private static string Show(TokenContinuation window)
    {
        string text = string.Concat(window.Tokens.ToArray().Select(token => token == ByteTokenizer.Boundary ? '#' : (char)token));
        return $"{text[..window.Start]}>{text[window.Start..]}";
    }
}
