using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace GatedFwa.Cli.Tests;

/// <summary>A real model, from training to text.</summary>
public sealed partial class ModelTests(TrainedModel trained) : CommandTest, IClassFixture<TrainedModel>
{
    private string Model => trained.Model;

    [Fact]
    public void Training_ends_with_a_sample_a_comparison_and_what_to_type_next()
    {
        string output = Succeeded(trained.Training);

        Assert.Contains("What the model writes by itself", output);
        Assert.Matches(@"this model *[│|] *\d\.\d{3}", output);
        Assert.Matches(@"order-3 byte model *[│|] *\d\.\d{3}", output);
        Assert.Contains("gatedfwa generate model --prompt", output);
        Assert.DoesNotContain('\e', output + trained.Training.Error);
        foreach (string file in (string[])["config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl", "loss.svg", "training_state.safetensors"])
            Assert.True(File.Exists(Path.Combine(Model, file)), file);
    }

    [Fact]
    public void Training_tells_where_it_stands_in_plain_lines()
    {
        double[] valid = [.. ValidationFigures().Matches(trained.Training.Error).Select(match => double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))];

        Assert.True(valid.Length >= 3, trained.Training.Error);
        Assert.True(valid[^1] < valid[0], trained.Training.Error);
        Assert.Contains("tok/s", trained.Training.Error);
        Assert.Contains("left", trained.Training.Error);
    }

    [Fact]
    public void The_same_seed_writes_the_same_text_and_another_seed_another()
    {
        string first = Generate("--seed", "1"), again = Generate("--seed", "1", "--threads", "1"), other = Generate("--seed", "2");

        Assert.NotEqual("", first);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
    }

    [Fact]
    public void A_prompt_from_standard_input_is_the_same_prompt()
    {
        string fromInput = Succeeded(RunWithInput("the cat", "generate", Model, "--max-tokens", "30"));

        Assert.Equal(Generate(), fromInput);
    }

    [Fact]
    public void A_prompt_may_begin_with_the_sign_of_a_response_file() =>
        Succeeded(Run("generate", Model, "--prompt", "@nobody", "--max-tokens", "3"));

    [Fact]
    public void Text_ends_before_a_stop_string_and_after_the_last_token()
    {
        string text = Generate("--temperature", "0");
        string stop = text[5..8];

        Assert.Equal(30, text.Length);
        Assert.Equal(text[..text.IndexOf(stop, StringComparison.Ordinal)], Generate("--temperature", "0", "--stop", stop));
        Assert.Equal("", Succeeded(Run("generate", Model, "--prompt", "the cat", "--max-tokens", "0")));
    }

    [Fact]
    public void Sampling_options_change_the_text()
    {
        string likeliest = Generate("--temperature", "0");

        Assert.Equal(likeliest, Generate("--top-k", "1"));
        Assert.Equal(likeliest, Generate("--top-p", "0.000001"));
        Assert.Equal(likeliest, Generate("--min-p", "1"));
        Assert.NotEqual(likeliest, Generate("--temperature", "0", "--repetition-penalty", "20"));
    }

    [Fact]
    public void Figures_of_speed_go_to_stderr_on_request()
    {
        CommandResult quiet = Run("generate", Model, "--prompt", "the", "--max-tokens", "10"), verbose = Run("generate", Model, "--prompt", "the", "--max-tokens", "10", "--verbose");

        Assert.Equal("", quiet.Error);
        Assert.Contains("bytes/s", verbose.Error);
        Assert.Equal(quiet.Output, verbose.Output);
    }

    [Fact]
    public void An_endless_text_goes_on_where_the_model_ends_one()
    {
        // So hot that every token is about as likely as any other, the end of a text included.
        string[] wild = ["generate", Model, "--prompt", "the", "--max-tokens", "3000", "--temperature", "50"];
        string ended = Succeeded(Run(wild)), endless = Succeeded(Run([.. wild, "--endless"]));

        Assert.StartsWith(ended.TrimEnd('\uFFFD'), endless);
        Assert.InRange(endless.Length, ended.Length + 1000, int.MaxValue);
    }

    [Fact]
    public void A_reader_that_goes_away_ends_the_text_quietly()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no SIGPIPE.");
        using Process process = Cli.Start(Folder, "generate", Model, "--prompt", "the cat", "--max-tokens", "1000000000");
        process.StandardInput.Close();
        process.StandardOutput.Read(new char[20], 0, 20);
        process.StandardOutput.Close();

        CommandResult result = Cli.Finish(
            process,
            Task.FromResult(""),
            process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));

        Assert.Equal(0, result.ExitCode);
        Assert.Equal("", result.Error);
    }

    [Theory]
    [InlineData("--temperature", "-1")]
    [InlineData("--temperature", "NaN")]
    [InlineData("--top-p", "0")]
    [InlineData("--top-k", "0")]
    [InlineData("--repetition-penalty", "0")]
    [InlineData("--stop", "")]
    public void An_impossible_sampling_option_is_one_sentence(string option, string value) =>
        RefusedWithOneSentence(Run("generate", Model, "--prompt", "x", option, value));

    [Fact]
    public void A_prompt_that_is_not_text_is_refused() =>
        RefusedWithOneSentence(Cli.Run(Folder, [0xC3, 0x28], "generate", Model), "UTF-8");

    [Fact]
    public void Evaluation_gives_loss_bits_per_byte_and_perplexity_of_one_text()
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("evaluate", Model, trained.Corpus, "--json")));
        double loss = document.RootElement.GetProperty("loss").GetDouble();

        Assert.Equal(new FileInfo(trained.Corpus).Length, document.RootElement.GetProperty("bytes").GetInt64());
        Assert.Equal(loss / Math.Log(2), document.RootElement.GetProperty("bits_per_byte").GetDouble(), 1e-9);
        Assert.Equal(Math.Exp(loss), document.RootElement.GetProperty("perplexity").GetDouble(), 1e-9);
        Assert.InRange(loss / Math.Log(2), 0.1, 4);
        Assert.Contains(loss.ToString("F4", CultureInfo.InvariantCulture), Succeeded(Run("evaluate", Model, trained.Corpus)));
    }

    [Fact]
    public void Evaluation_slides_so_that_the_size_of_the_pieces_changes_nothing()
    {
        double Loss(string context)
        {
            using JsonDocument document = JsonDocument.Parse(Succeeded(Run("evaluate", Model, trained.Corpus, "--json", "--context", context)));
            return document.RootElement.GetProperty("loss").GetDouble();
        }

        Assert.Equal(Loss("1024"), Loss("7"), 1e-5);
    }

    [Fact]
    public void A_model_with_full_attention_is_measured_with_the_context_it_has_learned()
    {
        string Evaluate(params string[] more) => Succeeded(Run(["evaluate", "full", "text.txt", .. more])).Split('\n')[1];
        TinyRun.WriteCorpus(Folder);
        File.WriteAllText(InFolder("text.txt"), "the cat sees a dog. the old horse hears one bird. ");
        Succeeded(Run("train", "--data", TinyRun.Corpus, "--output", "full", "--steps", "2", "--layers", "1", "--width", "16", "--heads", "2", "--full-attention", "--context", "16"));

        Assert.Equal(Evaluate("--context", "16"), Evaluate());
        Assert.NotEqual(Evaluate("--context", "1024"), Evaluate());
    }

    [Fact]
    public void Info_describes_the_model()
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("info", Model, "--json")));

        Assert.Equal(16, document.RootElement.GetProperty("config").GetProperty("width").GetInt32());
        Assert.Equal(150, document.RootElement.GetProperty("training").GetProperty("step").GetInt32());
        string words = Succeeded(Run("info", Model));
        Assert.Contains("GatedFWA, window 8", words);
        Assert.Contains("step 150 of 150", words);
    }

    [Fact]
    public void A_model_with_native_sparse_attention_trains_writes_and_says_what_it_remembers()
    {
        TinyRun.WriteCorpus(Folder);
        string[] blocks = ["--native-sparse", "on", "--block-size", "4", "--block-count", "3"];
        Succeeded(Run(TinyRun.Train("sparse", 2, blocks)));

        Succeeded(Run("generate", "sparse", "--prompt", "the cat", "--max-tokens", "20"));
        string words = Succeeded(Run("info", "sparse"));
        Assert.Contains("GatedFWA, window 8, beside native sparse attention: 3 blocks of 4", words);
        // Keys and values of 16 features: 128 bytes a token, and a quarter of it for the means.
        Assert.Contains("grows with the text: 160 bytes a token", words);
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("info", "sparse", "--json")));
        JsonElement sparse = document.RootElement.GetProperty("config").GetProperty("native_sparse");
        Assert.Equal((4, 3), (sparse.GetProperty("block_size").GetInt32(), sparse.GetProperty("block_count").GetInt32()));
    }

    [Theory]
    [InlineData("generate")]
    [InlineData("evaluate")]
    public void Commands_that_use_a_model_refuse_another_device(string command) =>
        RefusedWithOneSentence(
            Run([command, Model, .. command == "evaluate" ? (string[])[trained.Corpus] : [], "--device", "cuda:99"]),
            "cuda:99");

    private string Generate(params string[] options) =>
        Succeeded(Run(["generate", Model, "--prompt", "the cat", "--max-tokens", "30", .. options]));

    [GeneratedRegex(@"valid (\d+\.\d+) bpb")]
    private static partial Regex ValidationFigures();
}
