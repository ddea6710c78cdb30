using System.Text.Json;

namespace GatedFwa.Cli.Tests;

/// <summary><c>gatedfwa compare</c> from text to table.</summary>
public sealed class CompareTests : CommandTest
{
    public CompareTests() => TinyRun.WriteCorpus(Folder);

    [Fact]
    public void Compares_every_mixer_and_leaves_runs_that_other_commands_read()
    {
        CommandResult result = Run(TinyRun.Compare("all", steps: 24));
        string table = Succeeded(result);
        string[] mixers = [.. Directory.GetDirectories(InFolder("all")).Select(folder => Path.GetFileName(folder))];
        Assert.Superset(new HashSet<string> { "full", "window", "gated-full", "gatedfwa" }, mixers.ToHashSet());
        string markdown = File.ReadAllText(InFolder("all", "comparison.md"));
        foreach (string mixer in mixers)
        {
            Assert.Contains($" {mixer} ", table);
            Assert.Contains($"| {mixer} |", markdown);
            Assert.Contains($"{mixer}, seed 0: loss ", result.Error);
            Assert.Contains("step 24 of 24", Succeeded(Run("info", Path.Combine("all", mixer, "seed-0"))));
        }

        string run = Path.Combine("all", "gatedfwa", "seed-0");
        Assert.Contains("bits per byte", Succeeded(Run("evaluate", run, TinyRun.Corpus)));
        Assert.NotEqual("", Succeeded(Run("generate", run, "--prompt", "the", "--max-tokens", "8")));
        Assert.True(new FileInfo(InFolder("all", "comparison.svg")).Length > 1000);
    }

    [Fact]
    public void A_failing_mixer_is_told_and_tried_again_while_the_others_stand()
    {
        // A model that belongs to no run stands in the way of one mixer.
        string obstacle = InFolder("c", "window", "seed-0", "model.safetensors");
        Directory.CreateDirectory(Path.GetDirectoryName(obstacle)!);
        File.WriteAllText(obstacle, "mine");

        CommandResult failed = Run(TinyRun.Compare("c", steps: 8, "--mixers", "full,window,gatedfwa"));
        Assert.Equal(1, failed.ExitCode);
        Assert.Contains("window, seed 0 failed: A run would replace the file", failed.Error);
        string markdown = File.ReadAllText(InFolder("c", "comparison.md"));
        Assert.Contains("| window | – |", markdown);
        Assert.Contains("- window, seed 0: A run would replace the file", markdown);
        Assert.DoesNotContain("| gatedfwa | – |", markdown);

        File.Delete(obstacle);
        CommandResult resumed = Run("compare", "--resume", "--output", "c", "--json");
        using JsonDocument document = JsonDocument.Parse(Succeeded(resumed));
        Assert.True(document.RootElement.GetProperty("completed").GetBoolean());
        JsonElement[] rows = [.. document.RootElement.GetProperty("mixers").EnumerateArray()];
        Assert.Equal(["full", "window", "gatedfwa"], rows.Select(row => row.GetProperty("mixer").GetString()));
        Assert.All(rows, row => Assert.InRange(row.GetProperty("loss").GetProperty("mean").GetDouble(), 0, 6));
        Assert.Contains("full, seed 0: loss", resumed.Error);
        Assert.Contains("was finished before", resumed.Error);
        Assert.DoesNotContain("Failed", File.ReadAllText(InFolder("c", "comparison.md")));
    }

    [Fact]
    public void What_makes_no_comparison_is_refused_with_one_sentence()
    {
        RefusedWithOneSentence(Run("compare", "--resume", "--output", "none"), "no comparison to resume", "--output");
        Succeeded(Run(TinyRun.Compare("c", steps: 2, "--mixers", "window")));
        RefusedWithOneSentence(Run(TinyRun.Compare("c", steps: 2)), "holds a comparison already", "--resume");
        CommandResult other = Run("compare", "--resume", "--output", "c", "--width", "32");
        Assert.Equal(1, other.ExitCode);
        Assert.Contains("was started with width 16, not 32", other.Error);
        RefusedAsUsage(Run("compare", "--mixers", "full,mamba"), "There is no mixer \"mamba\"", "gatedfwa");
        RefusedAsUsage(Run("compare", "--seeds", "1,-2"), "'-2' is no seed");
        RefusedAsUsage(Run("compare", "--gate", "off"), "--gate");
    }
}
