using System.Text;
using System.Text.RegularExpressions;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Training.Evaluation.Tasks;
using GatedFwa.Training.Evaluation.Tasks.Needles;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

public sealed partial class NeedleTests : TensorTest
{
    private static readonly string Essay =
        string.Join(' ', Enumerable.Range(0, 500).Select(i => $"Word{i} and more of it{(i % 3 == 0 ? "." : ",")}"));

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Needles => [.. EvaluationTask.All.OfType<NeedleTask>().Select(task => task.Name)];

    [Theory]
    [MemberData(nameof(Needles))]
    public void Prompts_are_as_long_as_they_may_be_and_hold_their_answers(string name)
    {
        foreach (int length in (int[])[1024, 4096, 10_000])
        {
            (NeedleTask task, IReadOnlyList<NeedlePrompt> prompts) = Prompts(name, length, 6);
            // What one more piece of the haystack takes at most: a letter, a word, a line.
            int piece = name switch { "passkey" => 1, "niah_multikey_3" => 150, _ => 100 };
            Assert.All(prompts, prompt =>
            {
                Assert.InRange(1 + Encoding.UTF8.GetByteCount(prompt.Text) + task.AnswerTokens, length - piece, length);
                Assert.All(prompt.Answers, answer => Assert.Contains(answer, prompt.Text, StringComparison.Ordinal));
                Assert.Equal(1, task.Score($"are {string.Join(", ", prompt.Answers).ToUpperInvariant()}.", prompt));
            });
            Assert.Equal(6, prompts.Select(prompt => prompt.Text).Distinct().Count());
        }
    }

    [Theory]
    [MemberData(nameof(Needles))]
    public void A_seed_makes_its_prompts_again_and_another_seed_others(string name)
    {
        string[] Texts(ulong seed) => [.. Prompts(name, 2000, 3, seed).Prompts.Select(prompt => prompt.Text)];
        Assert.Equal(Texts(0), Texts(0));
        Assert.NotEqual(Texts(0), Texts(1));
    }

    [Theory]
    [MemberData(nameof(Needles))]
    public void Too_short_a_length_is_refused_with_the_shortest(string name)
    {
        string message = Assert.Throws<InputException>(() => Prompts(name, 100, 1)).Message;
        int shortest = int.Parse(Numbers().Matches(message)[^1].Value, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Single(Prompts(name, shortest, 1).Prompts);
        Assert.Throws<InputException>(() => Prompts(name, shortest - 1, 1));
    }

    [Fact]
    public void The_pass_key_stands_at_forty_depths()
    {
        NeedlePrompt[] prompts = [.. Prompts("passkey", 5000, 80).Prompts];
        for (int i = 0; i < prompts.Length; i++)
        {
            string[] lines = prompts[i].Text.Split('\n');
            Assert.Equal(5, lines.Length);
            Assert.Equal(
                "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. " +
                "I will quiz you about the important information there.",
                lines[0]);
            Assert.Equal($"The pass key is {prompts[i].Answers[0]}. Remember it. {prompts[i].Answers[0]} is the pass key.", lines[2]);
            Assert.Equal("What is the pass key? The pass key is", lines[4]);
            Assert.InRange(lines[1].Length / (double)(lines[1].Length + lines[3].Length), (i % 40 / 39.0) - 0.001, (i % 40 / 39.0) + 0.001);
            Assert.StartsWith(
                "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. The grass",
                lines[1].Length > 200 ? lines[1] : lines[3],
                StringComparison.Ordinal);
            Assert.InRange(int.Parse(prompts[i].Answers[0], System.Globalization.CultureInfo.InvariantCulture), 1, 50_000);
        }
    }

    [Theory]
    [InlineData(" 123. Remember", 1)]
    [InlineData("", 0)]
    [InlineData(" 1234", 0)]
    [InlineData(" 7123", 0)]
    [InlineData(" 9 or 123", 0)]
    public void The_pass_key_is_the_first_number_of_the_answer(string answer, double score) =>
        Assert.Equal(score, Passkey.Task.Score(answer, new NeedlePrompt("", ["123"])));

    [Fact]
    public void Ruler_scores_the_share_of_values_found()
    {
        var prompt = new NeedlePrompt("", ["1234567", "brave-Otter"]);
        Ruler task = Ruler.Tasks[0];
        Assert.Equal(0, task.Score("123456", prompt));
        Assert.Equal(0.5, task.Score("it is 91234567", prompt));
        Assert.Equal(1, task.Score("1234567 and BRAVE-otter", prompt));
    }

    [Fact]
    public void A_single_needle_is_asked_for_in_the_singular()
    {
        NeedlePrompt prompt = Prompts("niah_single_1", 2000, 1).Prompts[0];
        string[] lines = prompt.Text.Split('\n');
        Assert.Equal(
            "A special magic number is hidden within the following text. Make sure to memorize it. " +
            "I will quiz you about the number afterwards.",
            lines[0]);
        Match needle = Needle().Matches(prompt.Text).Single();
        Assert.Equal("numbers", needle.Groups[1].Value);
        Assert.Equal(prompt.Answers, [needle.Groups[3].Value]);
        Assert.All(lines[1..^1].Where(line => line != needle.Value), line => Assert.Equal(Passkey.Noise, line));
        string key = needle.Groups[2].Value;
        Assert.Equal(
            $"What is the special magic number for {key} mentioned in the provided text? " +
            $"The special magic number for {key} mentioned in the provided text is",
            lines[^1]);
    }

    [Fact]
    public void Four_queries_are_asked_for_in_the_plural_and_answered_in_their_order()
    {
        NeedlePrompt prompt = Prompts("niah_multiquery", 3000, 1).Prompts[0];
        Dictionary<string, string> values =
            Needle().Matches(prompt.Text).ToDictionary(match => match.Groups[2].Value, match => match.Groups[3].Value);
        Match question = Question().Matches(prompt.Text).Single();
        string[] keys = [question.Groups[1].Value, question.Groups[2].Value, question.Groups[3].Value, question.Groups[4].Value];
        Assert.StartsWith(
            "Some special magic numbers are hidden within the following text. Make sure to memorize it. " +
            "I will quiz you about the numbers afterwards.\n",
            prompt.Text,
            StringComparison.Ordinal);
        Assert.EndsWith(" mentioned in the provided text are", prompt.Text, StringComparison.Ordinal);
        Assert.Equal(4, values.Count);
        Assert.Equal(keys.Select(key => values[key]), prompt.Answers);
    }

    [Fact]
    public void One_key_may_have_four_values()
    {
        NeedlePrompt prompt = Prompts("niah_multivalue", 3000, 1).Prompts[0];
        Match[] needles = Needle().Matches(prompt.Text).ToArray();
        string key = needles.Select(needle => needle.Groups[2].Value).Distinct().Single();
        Assert.Equal(prompt.Answers.Order(), needles.Select(needle => needle.Groups[3].Value).Order());
        Assert.Contains($"What are all the special magic numbers for {key} mentioned", prompt.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("niah_multikey_2", "^[a-z]+-[a-z]+$", "^[0-9]{7}$")]
    [InlineData("niah_multikey_3", Uuid, Uuid)]
    public void A_haystack_of_needles_names_the_key_once(string name, string keys, string values)
    {
        foreach (NeedlePrompt prompt in Prompts(name, 20_000, 100).Prompts)
        {
            Match[] needles = Needle().Matches(prompt.Text).ToArray();
            Assert.Equal(prompt.Text.Count(letter => letter == '\n') - 1, needles.Length);
            Assert.All(needles, needle => Assert.Matches(keys, needle.Groups[2].Value));
            Assert.All(needles, needle => Assert.Matches(values, needle.Groups[3].Value));
            string asked = Assert.Single(needles, needle => needle.Groups[3].Value == prompt.Answers[0]).Groups[2].Value;
            Assert.Single(needles, needle => needle.Groups[2].Value == asked);
        }
    }

    [Fact]
    public void Needles_stand_between_sentences_of_a_text_at_different_depths()
    {
        List<double> places = [];
        foreach (NeedlePrompt prompt in Prompts("niah_multikey_1", 8000, 20).Prompts)
        {
            string context = prompt.Text.Split('\n')[1];
            Match[] needles = Needle().Matches(context).ToArray();
            Assert.Equal(4, needles.Length);
            // Without them the text is there from its beginning, in order.
            string rest = string.Join(' ', Needle().Replace(context, "").Split(' ', StringSplitOptions.RemoveEmptyEntries));
            Assert.StartsWith(rest[..Math.Min(rest.Length, Essay.Length)], Essay, StringComparison.Ordinal);
            int end = context.TrimEnd().Length;
            Assert.All(
                needles,
                needle => Assert.True(needle.Index < 2 || context[needle.Index - 2] == '.' || needle.Index + needle.Length == end));
            places.AddRange(needles.Select(needle => needle.Index / (double)context.Length));
        }

        Assert.InRange(places.Average(), 0.4, 0.6);
        Assert.InRange(places.Min(), 0, 0.1);
        Assert.InRange(places.Max(), 0.9, 1);
    }

    [Theory]
    [InlineData(6, 0.5, "One two. Three four. X Five One")]
    [InlineData(5, 0.0, " X One two. Three four. Five")]
    [InlineData(5, 1.0, "One two. Three four. Five X ")]
    [InlineData(12, 1.0, "One two. Three four. Five One two. Three four. Five One two. X ")]
    [InlineData(0, 1.0, " X ")]
    public void A_text_begins_again_after_its_end(int words, double depth, string expected)
    {
        var haystack = new Haystack(" One  two.\nThree four. Five ");
        Assert.Equal(expected, haystack.Hide(words, ["X"], [depth]));
    }

    [Fact]
    public void A_model_that_says_nothing_scores_nothing_and_the_result_names_length_and_reach()
    {
        using var model = new LanguageModel(TinyRun.Model with { Dropout = 0 }, seed: 1);
        PreparedTask task = EvaluationTask.Parse("passkey").Prepare(new() { Length = 500, Samples = 2 });
        TaskResult result = Assert.Single(task.Evaluate(model, maxLength: 16));
        Assert.Equal(500, task.Length);
        Assert.Equal(new TaskResult("passkey", "score", 0, 0, 2, 500, 14), result);
    }

    [Fact]
    public void A_text_task_without_a_text_says_so() =>
        Assert.Contains(
            "name a text file",
            Assert.Throws<InputException>(() => EvaluationTask.Parse("niah_single_2").Prepare(new())).Message,
            StringComparison.Ordinal);

    protected override void Cleanup() => _folder.Dispose();

    private const string Uuid = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";

    private (NeedleTask Task, IReadOnlyList<NeedlePrompt> Prompts) Prompts(string name, int length, int samples, ulong seed = 0)
    {
        var task = (NeedleTask)EvaluationTask.Parse(name);
        var options = new TaskOptions { Haystack = [_folder.Write("essay.txt", Essay)], Length = length, Samples = samples, Seed = seed };
        return (task, task.Prompts(options));
    }

    [GeneratedRegex(@"One of the special magic (\w+) for (\S+) is: (\S+)\.")]
    private static partial Regex Needle();

    [GeneratedRegex(@"What are all the special magic numbers for (\S+), (\S+), (\S+), and (\S+) mentioned in the provided text\?")]
    private static partial Regex Question();

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Numbers();
}
