using System.Text.Json.Nodes;
using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Training.Tests.Runs;

public sealed class TrainerTests : TensorTest
{
    private readonly TemporaryFolder _folder = new();
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup()
    {
        WorkerPool.Shared.Threads = _threads;
        _folder.Dispose();
    }

    [Theory]
    [InlineData("gatedfwa")]
    [InlineData("gatedfwa-nsa")]
    public void Training_lowers_the_loss_below_what_counting_letters_gives(string mixer)
    {
        TrainerOptions options = TinyRun.Options(_folder["run"]) with
        {
            Steps = 150,
            BatchSize = 8,
            Context = 32,
            AccumulationSteps = 1,
            LearningRate = 0.02,
            EvaluationInterval = 50,
        };
        var losses = new List<double>();
        using Trainer trainer = Trainer.Start(TinyRun.With(mixer) with { Dropout = 0 }, options, TinyRun.Data);
        TrainingResult result = trainer.Run(progress => losses.Add(progress.Loss));
        Assert.True(result.Completed);
        Assert.Equal(150, losses.Count);
        Assert.InRange(losses[0], Math.Log(257) - 0.3, Math.Log(257) + 0.3);
        Assert.InRange(losses[^1], 0.2, 1.5);
        Assert.InRange(result.ValidationBitsPerByte!.Value, 0.4, 2);
        Assert.InRange(result.BaselineBitsPerByte!.Value, 0.4, 1);
    }

    [Fact]
    public void Two_runs_give_the_same_bits_with_any_number_of_threads()
    {
        string Run(string name, int threads)
        {
            WorkerPool.Shared.Threads = threads;
            TinyRun.Finish(TinyRun.Options(_folder[name]), resume: false);
            return TinyRun.Signature(_folder[name]);
        }

        string first = Run("a", 2);
        Assert.Equal(first, Run("b", 2));
        Assert.Equal(first, Run("c", 1));
        Assert.Equal(first, Run("d", 3));
    }

    [Fact]
    public void Another_seed_gives_another_run()
    {
        TinyRun.Finish(TinyRun.Options(_folder["a"]), resume: false);
        TinyRun.Finish(TinyRun.Options(_folder["b"]) with { Seed = 4 }, resume: false);
        Assert.NotEqual(TinyRun.Signature(_folder["a"]), TinyRun.Signature(_folder["b"]));
    }

    [Fact]
    public void A_run_leaves_a_model_that_loads_and_measures_as_the_run_said()
    {
        TrainingResult result = TinyRun.Finish(TinyRun.Options(_folder["run"]), resume: false);
        Assert.Equal(
            ["config.json", "loss.svg", "metrics.jsonl", "model.safetensors", "tokenizer.json", "training_state.json", "training_state.safetensors"],
            Directory.GetFiles(_folder["run"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        (LanguageModel model, _) = ModelDirectory.Load(_folder["run"]);
        using (model) Assert.Equal(result.ValidationBitsPerByte, Evaluator.Evaluate(model, TinyRun.Data.Validation).BitsPerByte);
    }

    [Fact]
    public void Metrics_hold_a_line_per_step_and_the_evaluations()
    {
        TinyRun.Finish(TinyRun.Options(_folder["run"]), resume: false);
        JsonNode[] lines = [.. File.ReadAllLines(_folder["run/metrics.jsonl"]).Select(line => JsonNode.Parse(line)!)];
        Assert.Equal(Enumerable.Range(1, 12), lines.Select(line => line["step"]!.GetValue<int>()));
        Assert.Equal(
            [5, 10, 12],
            lines.Where(line => line["validation_bits_per_byte"] is not null).Select(line => line["step"]!.GetValue<int>()));
        Assert.All(
            lines,
            line => Assert.True(line["loss"]!.GetValue<double>() > 0 && line["gradient_norm"]!.GetValue<double>() > 0 && line["tokens_per_second"]!.GetValue<double>() > 0));
        Assert.Equal(0.01 / 3, lines[0]["learning_rate"]!.GetValue<double>(), 6);
    }

    [Fact]
    public void Progress_tells_where_the_run_stands()
    {
        var reports = new List<TrainingProgress>();
        using (Trainer trainer = Trainer.Start(TinyRun.Model, TinyRun.Options(_folder["run"]), TinyRun.Data)) trainer.Run(reports.Add);
        Assert.Equal(Enumerable.Range(1, 12), reports.Select(report => report.Step));
        Assert.All(reports, report => Assert.True(report is { Steps: 12, TokensPerSecond: > 0, BaselineBitsPerByte: > 0 }));
        Assert.Null(reports[3].ValidationBitsPerByte);
        Assert.True(reports[4].Evaluated);
        Assert.NotNull(reports[5].ValidationBitsPerByte);
        Assert.Equal(TimeSpan.Zero, reports[^1].Left);
        Assert.True(reports[^1].Elapsed > reports[0].Elapsed);
    }

    [Fact]
    public void Accumulated_batches_are_one_large_batch()
    {
        TrainerOptions options = TinyRun.Options(_folder["a"]) with { Steps = 3, BatchSize = 4, AccumulationSteps = 1 };
        ModelConfig model = TinyRun.Model with { Dropout = 0 };
        using Trainer large = Trainer.Start(model, options, TinyRun.Data);
        using Trainer small = Trainer.Start(model, options with { Output = _folder["b"], BatchSize = 1, AccumulationSteps = 4 }, TinyRun.Data);
        var losses = new List<double>();
        large.Run(progress => losses.Add(progress.Loss));
        small.Run(progress => Assert.Equal(losses[progress.Step - 1], progress.Loss, 4));
    }

    [Fact]
    public void A_diverging_run_stops_with_a_sentence_and_keeps_the_last_good_checkpoint()
    {
        TrainerOptions options = TinyRun.Options(_folder["run"]) with { LearningRate = 1e30, WarmupSteps = 0, CheckpointSteps = 1 };
        using Trainer trainer = Trainer.Start(TinyRun.Model, options, TinyRun.Data);
        string message = Assert.Throws<InputException>(() => trainer.Run()).Message;
        Assert.StartsWith("Training became unstable: the ", message, StringComparison.Ordinal);
        Assert.Contains("lower --lr", message, StringComparison.Ordinal);
        (LanguageModel model, _) = ModelDirectory.Load(_folder["run"]);
        using (model) Assert.All(model.Parameters, parameter => Assert.All(parameter.Value.ToArray(), value => Assert.True(float.IsFinite(value))));
    }

    [Fact]
    public void A_measurement_that_is_no_number_stops_a_run_before_it_is_saved()
    {
        TrainerOptions options = TinyRun.Options(_folder["run"]) with { LearningRate = 1e38, WarmupSteps = 0, Steps = 1 };
        using Trainer trainer = Trainer.Start(TinyRun.Model, options, TinyRun.Data);
        string message = Assert.Throws<InputException>(() => trainer.Run()).Message;
        Assert.StartsWith("Training became unstable: the measurement on what is held out after step 1 is not a number", message, StringComparison.Ordinal);
        trainer.Dispose();
        using Trainer resumed = Trainer.Resume(TinyRun.Model, options, TinyRun.Data);
        Assert.Equal(0, resumed.Step);
    }

    [Fact]
    public void A_model_that_belongs_to_no_run_is_not_replaced()
    {
        _folder.Write("model/model.safetensors", "weights that took a week");
        string message = Assert.Throws<InputException>(() => TinyRun.Finish(TinyRun.Options(_folder["model"]), resume: false)).Message;
        Assert.Contains("model.safetensors", message, StringComparison.Ordinal);
        Assert.Contains("name another folder", message, StringComparison.Ordinal);
        Assert.Equal(["model.safetensors"], Directory.GetFiles(_folder["model"]).Select(Path.GetFileName));
    }

    [Fact]
    public void What_cannot_be_trained_is_refused_in_a_sentence()
    {
        TrainerOptions options = TinyRun.Options(_folder["run"]);
        string Refusal(ModelConfig model, TrainerOptions asked, DocumentSplit data) => Assert.Throws<InputException>(() => Trainer.Start(model, asked, data).Dispose()).Message;
        Assert.Contains(
            "vocabulary_size is 100",
            Refusal(TinyRun.Model with { VocabularySize = 100 }, options, TinyRun.Data),
            StringComparison.Ordinal);
        Assert.Contains("option steps is 0", Refusal(TinyRun.Model, options with { Steps = 0 }, TinyRun.Data), StringComparison.Ordinal);
        Assert.Contains(
            "option learning_rate is NaN",
            Refusal(TinyRun.Model, options with { LearningRate = double.NaN }, TinyRun.Data),
            StringComparison.Ordinal);
        Assert.Contains(
            "smaller --context",
            Refusal(TinyRun.Model, options with { Context = 1_000_000 }, TinyRun.Data),
            StringComparison.Ordinal);
        Assert.Contains("head size", Refusal(TinyRun.Model with { Width = 20 }, options, TinyRun.Data), StringComparison.Ordinal);
        string file = _folder.Write("file", "in the way");
        Assert.Contains(
            "cannot be made",
            Refusal(TinyRun.Model, options with { Output = Path.Combine(file, "run") }, TinyRun.Data),
            StringComparison.Ordinal);
    }
}
