using System.Text.Json.Nodes;
using GatedFwa.Models;
using GatedFwa.Testing;
using GatedFwa.Training.Tasks;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Tasks;

/// <summary>The known shape of the result, at the size of a few seconds: who can reach the answers learns the task.</summary>
public sealed class RecallTrainingTests : TensorTest
{
    private static readonly RecallTask Task =
        new() { Length = 16, Pairs = 2, VocabularySize = 32, TrainingExamples = 20_000, TestExamples = 500 };

    private static readonly ModelConfig Model = ModelConfig.Preset("zoology") with { VocabularySize = 32, Width = 32, Window = 16 };

    private readonly TemporaryFolder _folder = new();

    protected override void Cleanup() => _folder.Dispose();

    private TrainerOptions Options(RecallTask task) => task.Options(64) with
    {
        Output = _folder["run"],
        Steps = 600,
        EvaluationInterval = 100,
        LearningRate = 0.01,
        CheckpointSeconds = 0,
        Seed = 1,
    };

    private TrainingResult Train(RecallTask task, ModelConfig model)
    {
        using Trainer trainer = Trainer.Start(model, Options(task), task);
        return trainer.Run();
    }

    [Theory]
    [InlineData("full")]
    [InlineData("gatedfwa")]
    public void A_model_that_reaches_the_answers_learns_the_task_and_stops(string mixer)
    {
        TrainingResult result = Train(Task, Mixer.Parse(mixer).In(Model));
        Assert.True(result.Validation?.Accuracy > 0.99, $"{result.Validation}");
        Assert.True(result is { Solved: true, Completed: true, BaselineBitsPerByte: null, ValidationBitsPerByte: null });
        Assert.InRange(result.Step, 100, 500);
        Assert.InRange(result.Validation!.Value.Loss, 0, 0.2);
    }

    [Fact]
    public void A_window_of_one_cannot_learn_it()
    {
        // The token shift alone would show the last value to whoever asks right after it.
        TrainingResult result = Train(Task, Mixer.SlidingWindow.In(Model with { Window = 1, TokenShift = false }));
        Assert.InRange(result.Validation!.Value.Accuracy!.Value, 0, 0.15); // A guess is right once in 16.
        Assert.True(result is { Solved: false, Completed: true, Step: 600 });
    }

    [Fact]
    public void The_last_value_of_a_key_is_learned()
    {
        TrainingResult result = Train(Task with { Rewrites = 1 }, Model);
        Assert.True(result.Validation?.Accuracy > 0.99, $"{result.Validation}");
    }

    [Fact]
    public void A_run_keeps_its_accuracy_and_no_tokenizer()
    {
        TrainerOptions options = Options(Task) with { Steps = 4, EvaluationInterval = 2 };
        using (Trainer trainer = Trainer.Start(Model, options, Task)) trainer.Run();
        Assert.Equal(
            ["config.json", "metrics.jsonl", "model.safetensors", "training_state.json", "training_state.safetensors"],
            Directory.GetFiles(_folder["run"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        JsonNode[] lines = [.. File.ReadAllLines(_folder["run/metrics.jsonl"]).Select(line => JsonNode.Parse(line)!)];
        JsonNode[] measured = [.. lines.Where(line => line["validation_accuracy"] is not null)];
        Assert.Equal([2, 4], measured.Select(line => line["step"]!.GetValue<int>()));
        Assert.All(measured, line => Assert.InRange(line["validation_loss"]!.GetValue<double>(), 2, 5));
        Assert.All(lines, line => Assert.Null(line["validation_bits_per_byte"]));
    }

    [Fact]
    public void Interrupted_and_resumed_it_is_the_same_run()
    {
        TrainerOptions options = Options(Task) with { Steps = 9, EvaluationInterval = 4 };
        string expected = Finish(options with { Output = _folder["whole"] }, interruptions: []);
        Assert.Equal(expected, Finish(options with { Output = _folder["pieces"] }, interruptions: [3, 4, 7]));
    }

    [Fact]
    public void A_solved_run_has_nothing_to_go_on_with()
    {
        TrainerOptions options = Options(Task);
        int solved = Train(Task, Model).Step;
        (ModelConfig model, TrainerOptions saved) = Trainer.ReadSettings(options.Output);
        using Trainer trainer = Trainer.Resume(model, saved, saved.Task!);
        Assert.Equal(solved, trainer.Run().Step);
    }

    [Fact]
    public void A_run_is_not_resumed_with_another_task()
    {
        TrainerOptions options = Options(Task) with { Steps = 2 };
        using (Trainer trainer = Trainer.Start(Model, options, Task)) trainer.Run();
        RecallTask other = Task with { Pairs = 3 };
        string message = Assert.Throws<InputException>(() => Trainer.Resume(Model, options with { Task = other }, other).Dispose()).Message;
        Assert.Contains("was started with pairs 2, not 3", message, StringComparison.Ordinal);
    }

    private static string Finish(TrainerOptions options, int[] interruptions)
    {
        Trainer trainer = Trainer.Start(Model, options, Task);
        foreach (int step in interruptions)
        {
            using (trainer) TinyRun.Interrupt(trainer, step);
            trainer = Trainer.Resume(Model, options, Task);
        }

        using (trainer) trainer.Run();
        return TinyRun.Signature(options.Output);
    }
}
