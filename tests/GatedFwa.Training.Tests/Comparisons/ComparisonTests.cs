using System.Text.Json.Nodes;
using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;
using GatedFwa.Training.Comparisons;
using GatedFwa.Training.Data;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Comparisons;

/// <summary>The same data, order and budget for every mixer; exact resume; a failure is one mixer's own.</summary>
public sealed class ComparisonTests : TensorTest
{
    private readonly TemporaryFolder _folder = new();
    private readonly int _threads = WorkerPool.Shared.Threads;

    private string Output => _folder["compare"];

    protected override void Cleanup()
    {
        WorkerPool.Shared.Threads = _threads;
        _folder.Dispose();
    }

    [Fact]
    public void Every_mixer_learns_from_the_same_windows_in_the_same_order()
    {
        // A window as long as the context sees what full attention sees, and weights of one name and seed are the same: such a
        // pair can differ in rounding alone, unless it is given another text.
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full, Mixer.SlidingWindow, Mixer.GatedFull, Mixer.GatedFwa);
        ComparisonResult result = TinyComparison.Run(options with
        {
            Model = TinyRun.Model with { Window = options.Training.Context, Dropout = 0 },
            Seeds = [0, 1],
        });

        Assert.True(result.Completed);
        foreach (int seed in new[] { 0, 1 })
        {
            AssertSame(Losses("full", seed), Losses("window", seed));
            AssertSame(Losses("gated-full", seed), Losses("gatedfwa", seed));
        }

        double[] first = Losses("full", 0), second = Losses("full", 1);
        Assert.Contains(first.Zip(second), pair => Math.Abs(pair.First - pair.Second) > 1e-2);
    }

    [Fact]
    public void A_comparison_that_another_process_is_at_is_left_as_it_is()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full);
        Comparison.Start(options, TinyRun.Data);
        string settings = File.ReadAllText(Path.Combine(Output, "comparison.json"));
        using (new FileStream(Path.Combine(Output, "run.lock"), FileMode.Create, FileAccess.Write, FileShare.None))
            Refused(() => Comparison.Resume(options with { Mixers = [Mixer.GatedFwa] }, TinyRun.Data), "being trained at this moment");
        Assert.Equal(settings, File.ReadAllText(Path.Combine(Output, "comparison.json")));
    }

    [Fact]
    public void Interrupted_and_resumed_it_ends_with_the_bits_of_one_that_never_was()
    {
        WorkerPool.Shared.Threads = 1; // How much scratch several threads hold at once is chance, and part of a step's memory.
        string whole = _folder["whole"];
        ComparisonResult expected = TinyComparison.Run(TinyComparison.Options(whole, Mixer.Full, Mixer.GatedFwa));

        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full, Mixer.GatedFwa);
        using var interrupting = new TinyComparison.View { StopAt = (Mixer.GatedFwa, 7) };
        ComparisonResult stopped = Comparison.Start(options, TinyRun.Data).Run(interrupting, interrupting.Token);
        Assert.False(stopped.Completed);
        Assert.Empty(stopped.Failures);
        Assert.Equal(7, interrupting.Outcomes[^1].Step);
        Assert.Contains("| gatedfwa | – |", File.ReadAllText(Path.Combine(Output, "comparison.md")), StringComparison.Ordinal);

        using var resuming = new TinyComparison.View();
        ComparisonResult resumed = TinyComparison.Resume(Comparison.ReadSettings(Output), resuming);
        Assert.True(resumed.Completed);
        Assert.Equal(Mixer.GatedFwa, Assert.Single(resuming.Trained).Mixer);
        foreach ((ComparisonRow left, ComparisonRow right) in expected.Rows.Zip(resumed.Rows))
        {
            RunMeasurement one = Assert.Single(left.Measurements), other = Assert.Single(right.Measurements);
            Assert.Equal(one.Loss, other.Loss);
            Assert.Equal(one.Positions, other.Positions);
            Assert.Equal(one.Curve.Select(point => (point.Tokens, point.Loss)), other.Curve.Select(point => (point.Tokens, point.Loss)));
            Assert.Equal(one.StepBytes, other.StepBytes);
            Assert.Equal(TinyRun.Signature(left.Outcomes[0].Run.Output), TinyRun.Signature(right.Outcomes[0].Run.Output));
        }
    }

    [Fact]
    public void Killed_between_training_and_measuring_it_only_measures()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.GatedFwa);
        double expected = TinyComparison.Run(options).Rows[0].Measurements[0].Loss;
        File.Delete(Path.Combine(Output, "gatedfwa", "seed-0", "measurement.json"));
        RunMeasurement measured = TinyComparison.Resume(options).Rows[0].Measurements[0];
        Assert.Equal(expected, measured.Loss);
        Assert.Equal(expected, measured.Curve[^1].Loss, 12);
    }

    [Fact]
    public void A_mixer_that_fails_keeps_no_other_from_being_trained()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.SlidingWindow, Mixer.Full, Mixer.GatedFull);
        using var view = new TinyComparison.View();
        ComparisonResult result = TinyComparison.Run(options with { Model = TinyRun.Model with { Window = null } }, view: view);

        Assert.False(result.Completed);
        ComparisonOutcome failed = Assert.Single(result.Failures);
        Assert.Equal(Mixer.SlidingWindow, failed.Run.Mixer);
        Assert.IsType<InputException>(failed.Failure);
        Assert.Equal([Mixer.Full, Mixer.GatedFull], view.Trained.Select(run => run.Mixer));
        Assert.All(result.Rows.Skip(1), row => Assert.True(double.IsFinite(Assert.Single(row.Measurements).Loss)));
        string table = File.ReadAllText(Path.Combine(Output, "comparison.md"));
        Assert.Contains($"- window, seed 0: {failed.Failure!.Message}", table, StringComparison.Ordinal);
        Assert.Contains("| window | – |", table, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mixer_or_a_seed_may_be_added_later()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full);
        TinyComparison.Run(options);
        using var view = new TinyComparison.View();
        ComparisonResult result = TinyComparison.Resume(options with { Mixers = [Mixer.GatedFwa], Seeds = [5] }, view);
        Assert.Equal(["full", "gatedfwa"], result.Rows.Select(row => row.Mixer.Name));
        Assert.Equal([0UL, 5UL], result.Rows[1].Outcomes.Select(outcome => outcome.Run.Seed));
        Assert.Equal(["full, seed 5", "gatedfwa, seed 0", "gatedfwa, seed 5"], view.Trained.Select(run => run.ToString()).Order());
        Assert.True(result.Completed);
    }

    [Fact]
    public void Each_run_is_an_ordinary_one()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.GatedFull);
        ComparisonRun run = TinyComparison.Run(options).Rows[0].Outcomes[0].Run;
        (ModelConfig model, TrainerOptions training) = Trainer.ReadSettings(run.Output);
        Assert.Equal(Mixer.GatedFull.In(TinyRun.Model), model);
        using Trainer trainer = Trainer.Resume(model, training, TinyRun.Data);
        Assert.True(trainer.Run().Completed);
        (LanguageModel loaded, _) = ModelDirectory.Load(run.Output);
        using (loaded) Assert.Equal(model, loaded.Config);
    }

    [Fact]
    public void Is_only_resumed_with_what_it_was_begun_with()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full);
        Refused(() => Comparison.Resume(options, TinyRun.Data), "no comparison to resume", "--resume");
        Comparison.Start(options, TinyRun.Data);
        Refused(() => Comparison.Start(options, TinyRun.Data), "holds a comparison already", "--resume");
        Refused(() => Comparison.Resume(options with { Model = TinyRun.Model with { Width = 32 } }, TinyRun.Data), "width 16, not 32");
        ComparisonOptions longer = options with { Training = options.Training with { Steps = 13 } };
        Refused(() => Comparison.Resume(longer, TinyRun.Data), "steps 12, not 13");
        var other = new DocumentSplit(TinyRun.Data.Validation, TinyRun.Data.Training);
        Refused(() => Comparison.Resume(options, other), "another text");
        Refused(
            () => Comparison.Resume(options, TinyRun.Data, new Device(DeviceKind.Cuda, 0)),
            "started on cpu in F32, not on cuda:0 in BF16",
            "--device");
        Comparison.Resume(options with { Training = options.Training with { CheckpointSteps = 1 } }, TinyRun.Data); // Changes no result.
    }

    [Fact]
    public void A_new_comparison_takes_no_measurement_of_another()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full);
        TinyComparison.Run(options);
        string settings = Path.Combine(Output, "comparison.json"), kept = File.ReadAllText(settings);
        File.Delete(settings);
        ComparisonOptions other = options with { Training = options.Training with { Steps = 13 } };
        Refused(() => Comparison.CheckOutput(Output), "measurements of a comparison", "comparison.json");
        Refused(() => Comparison.Start(other, TinyRun.Data), "restore it", "another folder");
        Assert.False(File.Exists(settings));
        File.WriteAllText(settings, kept);
        Assert.True(TinyComparison.Resume(options).Rows[0].Outcomes[0].WasFinished);
    }

    [Theory]
    [InlineData("mixers", "names no mixer")]
    [InlineData("seeds", "names no seed")]
    public void Settings_of_nothing_are_damaged(string list, string words)
    {
        Comparison.Start(TinyComparison.Options(Output, Mixer.Full), TinyRun.Data);
        string settings = Path.Combine(Output, "comparison.json");
        JsonNode document = JsonNode.Parse(File.ReadAllText(settings))!;
        document[list] = new JsonArray();
        File.WriteAllText(settings, document.ToJsonString());
        Refused(() => Comparison.ReadSettings(Output), words, "comparison.json", "restore it");
    }

    [Fact]
    public void What_no_mixer_could_learn_from_takes_no_folder()
    {
        ComparisonOptions options = TinyComparison.Options(Output, Mixer.Full);
        ComparisonOptions Changed(int context) => options with { Training = options.Training with { Context = context } };
        Refused(() => Comparison.Start(Changed(1 << 20), TinyRun.Data), "shorter than one context of 1048576");
        Refused(() => Comparison.Start(options with { Model = TinyRun.Model with { VocabularySize = 8 } }, TinyRun.Data), "bytes need");
        Assert.False(Directory.Exists(Output));
    }

    private static void Refused(Action act, params string[] words)
    {
        string message = Assert.Throws<InputException>(act).Message;
        foreach (string word in words) Assert.Contains(word, message, StringComparison.Ordinal);
    }

    private static void AssertSame(double[] expected, double[] actual)
    {
        Assert.Equal(TinyRun.Options("").Steps, expected.Length);
        foreach ((double left, double right) in expected.Zip(actual)) Assert.InRange(left / right, 1 - 1e-5, 1 + 1e-5);
    }

    private double[] Losses(string mixer, int seed) =>
    [
        .. File.ReadLines(Path.Combine(Output, mixer, $"seed-{seed}", "metrics.jsonl"))
            .Select(line => (double)JsonNode.Parse(line)!["loss"]!),
    ];
}
