using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace GatedFwa.Cli.Tests;

/// <summary>The page of a real model, read as a browser would.</summary>
public sealed partial class InspectTests(TrainedModel trained) : CommandTest, IClassFixture<TrainedModel>
{
    private const string Text = "the cat sees </script><b>a dög</b> & \"one\" bird.\nthe old horse hears a dog. the cat ignores one bird. ";

    [Fact]
    public void One_command_writes_one_page_with_everything_in_it()
    {
        using JsonDocument data = Data(Inspect(Text));
        JsonElement root = data.RootElement;

        Assert.Equal(Encoding.UTF8.GetBytes(Text), Base64Url.DecodeFromChars(root.GetProperty("text").GetProperty("tokens").GetString()));
        JsonElement layer = root.GetProperty("layers")[0];
        int tokens = Encoding.UTF8.GetByteCount(Text);
        Assert.Equal(tokens * 2 * sizeof(float), Base64Url.DecodeFromChars(layer.GetProperty("alpha").GetString()).Length);
        Assert.Equal(tokens * 16 * 2, Base64Url.DecodeFromChars(layer.GetProperty("queries").GetString()).Length);
        Assert.Equal(2, layer.GetProperty("reach").GetArrayLength());
        Assert.All(layer.GetProperty("reach").EnumerateArray(), reach => Assert.InRange(reach.GetProperty("attention").GetDouble(), 0, 7));
        Assert.Equal(tokens - 1, root.GetProperty("chosen").GetInt32());
        Assert.Equal(["gatedfwa", "full", "window", "gated-full"], Mixers(root));
        Assert.Equal(["Model", "SameWeights", "SameWeights", "SameWeights"], Series(root, "origin"));
        // A window of 8 in one layer, and the token shift: 9 tokens before the predicted one.
        double[] norms = [.. root.GetProperty("gradients")[0].GetProperty("norms").EnumerateArray().Select(norm => norm.GetDouble())];
        Assert.All(norms[..9], norm => Assert.True(norm > 0));
        Assert.All(norms[9..], norm => Assert.Equal(0, norm));
    }

    [Fact]
    public void A_model_that_attends_to_blocks_is_shown_as_one()
    {
        Succeeded(Run(
            "train", "--data", trained.Corpus, "--mixer", "gatedfwa-nsa", "--window", "8", "--block-size", "4", "--block-count", "3",
            "--layers", "1", "--width", "16", "--heads", "2", "--context", "32", "--batch", "1", "--steps", "1", "--output", "blocks"));

        using JsonDocument data = Data(InspectModel("blocks", Text));

        Assert.True(data.RootElement.GetProperty("shape").GetProperty("hasBlocks").GetBoolean());
        Assert.Equal("gatedfwa-nsa", Mixers(data.RootElement).First());
        // Blocks reach farther back than the window of 8 and the token shift.
        JsonElement norms = data.RootElement.GetProperty("gradients")[0].GetProperty("norms");
        Assert.Contains(norms.EnumerateArray().Skip(9), norm => norm.GetDouble() > 0);
    }

    [Fact]
    public void Nothing_in_the_page_comes_from_elsewhere_or_from_the_text_as_markup()
    {
        string page = Inspect(Text);

        Assert.Equal(2, Regex.Count(page, "</script", RegexOptions.IgnoreCase));
        Assert.DoesNotContain("<b>", page);
        Assert.DoesNotMatch(@"(src|href)\s*=|url\(|@import|import\s*\(|fetch\(|XMLHttpRequest", page);
        Assert.Equal(["http://www.w3.org/2000/svg"], Regex.Matches(page, @"https?://[^\s""'<)]*").Select(match => match.Value).Distinct());
        Assert.Contains("default-src 'none'", page);
    }

    [Fact]
    public void A_folder_named_like_markup_is_text()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "No file there can be named so.");
        const string name = "<i>&'model'{{style}}";
        string folder = InFolder(name);
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(trained.Model)) File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));

        string page = InspectModel(name, Text);

        Assert.DoesNotContain("<i>", page);
        Assert.Contains("What &lt;i&gt;&amp;", page);
        Assert.Contains("{{style}}", page);
    }

    [Fact]
    public void A_long_text_is_shown_in_part_and_the_command_says_so()
    {
        string[] options = ["--length", "40", "--token", "7", "--context", "20", "--out", "short.html"];
        CommandResult result = Run(["inspect", trained.Model, "--text", trained.Corpus, .. options]);

        Assert.Contains("short.html", Succeeded(result));
        Assert.Contains("first 40 of", result.Error);
        using JsonDocument data = Data(File.ReadAllText(InFolder("short.html")));
        Assert.Equal(7, data.RootElement.GetProperty("chosen").GetInt32());
        Assert.Equal(40, Base64Url.DecodeFromChars(data.RootElement.GetProperty("text").GetProperty("tokens").GetString()).Length);
        Assert.Equal(new FileInfo(trained.Corpus).Length, data.RootElement.GetProperty("text").GetProperty("bytes").GetInt64());
        Assert.All(
            data.RootElement.GetProperty("gradients").EnumerateArray(),
            series => Assert.Equal(20, series.GetProperty("norms").GetArrayLength()));
    }

    [Fact]
    public void Another_model_is_drawn_beside_and_one_without_a_gate_is_said_to_have_none()
    {
        TinyRun.WriteCorpus(Folder);
        Succeeded(Run(TinyRun.Train("plain", steps: 2, "--gate", "off")));

        using JsonDocument beside = Data(InspectModel(trained.Model, Text, "--compare", "plain"));
        using JsonDocument plain = Data(InspectModel("plain", Text));

        Assert.Equal(["gatedfwa", "full", "window", "gated-full", "window"], Mixers(beside.RootElement));
        Assert.Equal("Compared", Series(beside.RootElement, "origin").Last());
        Assert.Equal(["window", "full"], Mixers(plain.RootElement));
        Assert.False(plain.RootElement.GetProperty("shape").GetProperty("gate").GetBoolean());
        Assert.Equal(JsonValueKind.Null, plain.RootElement.GetProperty("layers")[0].GetProperty("alpha").ValueKind);
    }

    [Fact]
    public void A_text_that_cannot_be_used_is_one_sentence()
    {
        File.WriteAllText(InFolder("empty.txt"), "");
        File.WriteAllText(InFolder("byte.txt"), "x");

        RefusedWithOneSentence(Run("inspect", trained.Model, "--text", "missing.txt"), "missing.txt", "check the path");
        RefusedWithOneSentence(Run("inspect", trained.Model, "--text", "empty.txt"), "empty");
        RefusedWithOneSentence(Run("inspect", trained.Model, "--text", "byte.txt"), "single byte");
        RefusedAsUsage(Run("inspect", trained.Model), "--text");
    }

    [Fact]
    public void A_token_or_a_model_that_is_not_there_is_one_sentence()
    {
        string[] command = ["inspect", trained.Model, "--text", trained.Corpus];

        RefusedWithOneSentence(Run([.. command, "--token", "600"]), "0 to 511", "--length 601");
        RefusedWithOneSentence(Run([.. command, "--length", "9999"]), "2048");
        RefusedWithOneSentence(Run([.. command, "--compare", "nowhere"]), "nowhere");
        RefusedWithOneSentence(Run("inspect", "nowhere", "--text", trained.Corpus), "nowhere");
        RefusedWithOneSentence(Run([.. command, "--device", "cuda:99"]), "cuda:99");
        RefusedAsUsage(Run([.. command, "--token", "-1"]), "--token");
        RefusedAsUsage(Run([.. command, "--length", "1"]), "--length");
        Assert.False(File.Exists(InFolder("inspect.html")));
    }

    private string Inspect(string text) => InspectModel(trained.Model, text);

    private string InspectModel(string model, string text, params string[] more)
    {
        File.WriteAllText(InFolder("text.txt"), text);
        Assert.Contains("inspect.html holds the page", Succeeded(Run(["inspect", model, "--text", "text.txt", .. more])));
        return File.ReadAllText(InFolder("inspect.html"));
    }

    private static JsonDocument Data(string page) => JsonDocument.Parse(DataBlock().Match(page).Groups[1].Value);

    private static IEnumerable<string?> Mixers(JsonElement root) => Series(root, "mixer");

    private static IEnumerable<string?> Series(JsonElement root, string property) =>
        root.GetProperty("gradients").EnumerateArray().Select(series => series.GetProperty(property).GetString());

    [GeneratedRegex("<script type=\"application/json\" id=\"data\">(.*?)</script>", RegexOptions.Singleline)]
    private static partial Regex DataBlock();
}
