using System.Text.Json;

namespace GatedFwa.Cli.Tests;

/// <summary>A real model at tasks, from files to figures.</summary>
public sealed class EvaluateTaskTests(TrainedModel trained) : CommandTest, IClassFixture<TrainedModel>
{
    private const string Passages = """
        {"text":"the cat sees a dog. the old horse sees one bird. the cat sees a dog"}
        {"text":"a dog follows the cat. one bird follows the zebra"}
        """;

    private const string Goals = """
        {"goal":"Find the cat","sol1":"Look for the cat","sol2":"Xq zw kj","label":0}
        {"goal":"Find the dog","sol1":"Qx vv zz","sol2":"Look for a dog","label":1}
        """;

    private string Model => trained.Model;

    [Fact]
    public void Several_tasks_give_one_table()
    {
        string passages = Write("l.jsonl", Passages), goals = Write("p.jsonl", Goals);
        string table = Succeeded(Run("evaluate", Model, "--task", "lambada", "--file", passages, "--task", "piqa", "--file", goals));

        Assert.Matches(@"task .* metric .* value .* ± stderr .* n .* max_length .* reach", table);
        Assert.Matches(@"lambada\W+acc\W+\d\.\d{4}\W+\d\.\d{4}\W+2\W+unlimited\W+7\b", table);
        Assert.Matches(@"lambada\W+perplexity\W+\d", table);
        Assert.Matches(@"piqa\W+acc\W+1\.0000\W+0\.0000\W+2\W", table);
        Assert.Matches(@"piqa\W+acc_norm\W+1\.0000", table);
    }

    [Fact]
    public void A_program_gets_numbers()
    {
        JsonElement result = Results("--task", "piqa", "--file", Write("p.jsonl", Goals), "--context", "30")[0];

        Assert.Equal("piqa", result.GetProperty("task").GetString());
        Assert.Equal("acc", result.GetProperty("metric").GetString());
        Assert.Equal(1, result.GetProperty("value").GetDouble());
        Assert.Equal(0, result.GetProperty("stderr").GetDouble());
        Assert.Equal(2, result.GetProperty("n").GetInt32());
        Assert.Equal(30, result.GetProperty("max_length").GetInt32());
        Assert.Equal(7, result.GetProperty("reach").GetInt64()); // One layer of a window of 8.
    }

    [Fact]
    public void Word_perplexity_is_bits_per_byte_in_other_units()
    {
        JsonElement[] results = Results("--task", "wikitext", "--file", Write("w.jsonl", """{"page":"the cat sees a dog"}"""));
        double Value(int i) => results[i].GetProperty("value").GetDouble();

        Assert.Equal(
            ["word_perplexity", "byte_perplexity", "bits_per_byte"],
            results.Select(result => result.GetProperty("metric").GetString()));
        Assert.Equal(Value(2) * Math.Log(2), Math.Log(Value(1)), 1e-9);
        Assert.Equal(Math.Log(Value(0)) * 5, Math.Log(Value(1)) * 18, 1e-9); // Five words of eighteen bytes.
        Assert.Equal(JsonValueKind.Null, results[0].GetProperty("stderr").ValueKind);
    }

    [Fact]
    public void Needles_further_than_the_model_looks_are_announced()
    {
        string[] tasks = ["--task", "passkey", "--task", "niah_single_2", "--haystack", trained.Corpus];
        CommandResult result = Run(["evaluate", Model, .. tasks, "--length", "900", "--samples", "2"]);

        Assert.Matches(@"passkey\W+score\W+\d\.\d{4}\W+\d\.\d{4}\W+2\W+900\W+7\b", Succeeded(result));
        Assert.Contains("reaches 7 tokens back", result.Error);
    }

    [Fact]
    public void A_model_with_full_attention_reads_as_much_as_it_has_learned()
    {
        TinyRun.WriteCorpus(Folder);
        string[] model = ["--layers", "1", "--width", "16", "--heads", "2", "--full-attention", "--context", "16"];
        Succeeded(Run(["train", "--data", TinyRun.Corpus, "--output", "full", "--steps", "2", .. model]));
        string file = Write("l.jsonl", Passages);

        string table = Succeeded(Run("evaluate", "full", "--task", "lambada", "--file", file));
        Assert.Matches(@"lambada\W+acc\W+\d\.\d{4}\W+\d\.\d{4}\W+2\W+16\W+unlimited", table);
        RefusedWithOneSentence(Run("evaluate", "full", "--task", "lambada", "--file", file, "--context", "2"), "reads 2 at once");
    }

    [Fact]
    public void A_bad_line_is_one_sentence_with_file_line_and_field()
    {
        string path = Write("bad.jsonl", Passages + "\n{\"txt\":\"the cat\"}\n");

        RefusedWithOneSentence(Run("evaluate", Model, "--task", "lambada", "--file", path), "bad.jsonl", "line 3", "\"text\" is missing");
        // Before the model is even looked for.
        RefusedWithOneSentence(Run("evaluate", "nowhere", "--task", "lambada", "--file", path), "bad.jsonl", "line 3");
    }

    [Theory]
    [InlineData("did you mean \"piqa\"", "--task", "pica")]
    [InlineData("needs its examples", "--task", "piqa")]
    [InlineData("--length belongs to a task", "text.txt", "--length", "5")]
    [InlineData("cannot be measured at once", "text.txt", "--task", "passkey")]
    [InlineData("need 2 files and 1 are named", "--task", "piqa", "--task", "lambada", "--file", "a.jsonl")]
    [InlineData("need 0 files and 1 are named", "--task", "passkey", "--file", "a.jsonl")]
    [InlineData("name a text file as its haystack", "--task", "niah_multivalue")]
    [InlineData("--length belongs to a task that hides needles", "--task", "piqa", "--file", "a.jsonl", "--length", "5")]
    [InlineData("--haystack belongs to a task", "--task", "passkey", "--haystack", "text.txt")]
    [InlineData("too short for passkey", "--task", "passkey", "--length", "100")]
    public void What_does_not_go_together_is_one_sentence(string words, params string[] arguments) =>
        RefusedWithOneSentence(Run(["evaluate", Model, .. arguments]), words);

    [Fact]
    public void Neither_a_text_nor_a_task_is_a_usage_error() => RefusedAsUsage(Run("evaluate", Model), "nothing to measure");

    [Theory]
    [InlineData("--length", "0")]
    [InlineData("--samples", "0")]
    [InlineData("--seed", "x")]
    public void A_value_out_of_range_is_a_usage_error(params string[] arguments) =>
        RefusedAsUsage(Run(["evaluate", Model, "--task", "passkey", .. arguments]));

    private string Write(string name, string text)
    {
        File.WriteAllText(InFolder(name), text);
        return InFolder(name);
    }

    private JsonElement[] Results(params string[] arguments)
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run(["evaluate", Model, "--json", .. arguments])));
        return [.. document.RootElement.GetProperty("results").EnumerateArray().Select(result => result.Clone())];
    }
}
