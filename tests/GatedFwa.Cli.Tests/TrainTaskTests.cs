using System.Text.Json;
using System.Text.Json.Nodes;

namespace GatedFwa.Cli.Tests;

/// <summary><c>train --task</c>: a task instead of a text.</summary>
public sealed class TrainTaskTests : CommandTest
{
    private static readonly string[] Tiny =
        ["--context", "16", "--pairs", "2", "--vocabulary", "32", "--examples", "500", "--width", "16", "--batch", "8", "--steps", "4"];

    private CommandResult Train(params string[] more) => Run(["train", "--task", "mqar", .. Tiny, .. more]);

    [Fact]
    public void It_ends_with_accuracy_loss_and_reach()
    {
        CommandResult result = Train("--mixer", "gatedfwa", "--window", "9");
        string output = Succeeded(result);

        Assert.Contains("mqar, 16 tokens, 2 pairs, vocabulary 32", output);
        Assert.Matches(@"accuracy +\d+\.\d\d% of 6,000 answers", output);
        Assert.Matches(@"loss +\d\.\d{4} nats an answer", output);
        Assert.Contains("16 tokens back; the farthest answer lies 13 tokens back", output);
        Assert.Contains("4 of 4 steps", output);
        Assert.Contains("accuracy", result.Error);
        Assert.DoesNotContain("Warning", result.Error);
        Assert.True(File.Exists(InFolder("runs", "mqar-gatedfwa", "model.safetensors")));
        Assert.Contains("of the answers right", Succeeded(Run("info", "runs/mqar-gatedfwa")));
    }

    [Fact]
    public void For_a_program_it_is_one_document()
    {
        JsonNode document = JsonNode.Parse(Succeeded(Run(["train", "--task", "forgetting-mqar", "--mixer", "full", "--json", .. Tiny])))!;

        Assert.Equal("forgetting-mqar", document["task"]!.GetValue<string>());
        Assert.Equal(1, document["rewrites"]!.GetValue<int>());
        Assert.InRange(document["accuracy"]!.GetValue<double>(), 0, 1);
        Assert.True(document["loss"]!.GetValue<double>() > 0);
        Assert.Equal(JsonValueKind.Null, document["reach"]?.GetValueKind() ?? JsonValueKind.Null);
        Assert.Equal(13, document["farthest_answer"]!.GetValue<int>());
    }

    [Fact]
    public void A_window_that_does_not_reach_is_a_warning_with_the_reach()
    {
        CommandResult result = Train("--mixer", "window", "--window", "3");

        Succeeded(result);
        Assert.Contains("Warning: a window of 3 in 2 layers reaches 4 tokens back, and answers lie up to 13 back", result.Error);
        Assert.Contains("--window 8 is the least that reaches", result.Error);
        Assert.DoesNotContain("Warning", Train("--mixer", "window", "--window", "8", "--output", "reaches").Error);
    }

    [Fact]
    public void It_resumes_from_what_is_saved_of_it()
    {
        Succeeded(Train("--output", "run"));

        Assert.Contains("mqar, 16 tokens, 2 pairs", Succeeded(Run("train", "--resume", "--output", "run")));
        RefusedAtTheEnd(Run("train", "--resume", "--output", "run", "--pairs", "3"), "was started with pairs 2, not 3");
        RefusedAtTheEnd(Run("train", "--resume", "--output", "run", "--data", "text.txt"), "not a text; resume without --data");
        RefusedAtTheEnd(Run("train", "--resume", "--output", "run", "--task", "forgetting-mqar"), "learns mqar, not forgetting-mqar");
    }

    [Fact]
    public void A_model_of_no_text_does_not_write_any()
    {
        Succeeded(Train("--output", "run"));

        RefusedWithOneSentence(Run("generate", "run"), "\"run\" holds no tokenizer.json", "name a model of text");
    }

    [Theory]
    [InlineData("--pairs", "5", "5 pairs and a slot for each question take 20 tokens, and examples have 16")]
    [InlineData("--vocabulary", "16", "need a vocabulary of more than that")]
    [InlineData("--context", "15", "use an even length")]
    public void A_task_that_cannot_be_set_is_refused_before_any_training(string option, string value, string expected)
    {
        // The last of a flag that is given twice would be a mistake of its own.
        string[] arguments = [.. Tiny.Chunk(2).Where(pair => pair[0] != option).SelectMany(pair => pair), option, value];
        RefusedWithOneSentence(Run(["train", "--task", "mqar", .. arguments]), expected);
        Assert.False(Directory.Exists(InFolder("runs")));
    }

    [Fact]
    public void Flags_that_contradict_each_other_are_refused()
    {
        RefusedAsUsage(Train("--data", "text.txt"), "--data and --task exclude each other");
        RefusedAsUsage(Train("--rewrites", "1"), "--rewrites needs --task forgetting-mqar");
        RefusedAsUsage(Train("--mixer", "window", "--gate", "off"), "--gate says again what --mixer says");
        RefusedAsUsage(Train("--mixer", "linear"), "linear");
        RefusedWithOneSentence(Train("--mixer", "full", "--window", "8"), "--mixer full has no window");
        RefusedWithOneSentence(Run("train", "--pairs", "3"), "--pairs describes a task; name it with --task");
    }

    private static void RefusedAtTheEnd(CommandResult result, string words) =>
        RefusedWithOneSentence(result with { Error = result.Error.TrimEnd().Split('\n')[^1] }, words);
}
