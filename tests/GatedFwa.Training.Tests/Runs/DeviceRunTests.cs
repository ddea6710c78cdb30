using System.Text.Json.Nodes;
using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Training.Tests.Runs;

public sealed class DeviceRunCudaTests() : DeviceRunSuite(TestBackend.CudaFloat32);

public sealed class DeviceRunCudaBFloat16Tests() : DeviceRunSuite(TestBackend.CudaBFloat16);

public sealed class DeviceRunCudaFloat16Tests() : DeviceRunSuite(TestBackend.CudaFloat16);

public sealed class LossScaleTests
{
    [Theory]
    [InlineData(1, 2)]
    [InlineData(33, 128)]
    [InlineData(32_768, 65_536)]
    [InlineData(1 << 24, 65_536)] // A larger one would not be float16's range any more.
    public void The_gradients_of_a_token_keep_their_size(int tokens, float scale) => Assert.Equal(scale, TrainingStep.LossScale(tokens));
}

/// <summary>A run on a GPU is the run on the CPU, but for rounding; and every guarantee of a run holds there, too.</summary>
public abstract class DeviceRunSuite(TestBackend backend) : TensorTest(backend)
{
    // What twelve steps make of the rounding of float32, and of 16 bits, relative to the loss.
    private const double Float32Tolerance = 1e-3, NarrowTolerance = 2e-2;

    private readonly TemporaryFolder _folder = new();

    private double Tolerance => Backend.Activations == DType.F32 ? Float32Tolerance : NarrowTolerance;

    protected override void Cleanup() => _folder.Dispose();

    [Theory]
    [InlineData("gatedfwa")]
    [InlineData("gatedfwa-nsa")]
    public void Follows_the_loss_curve_of_the_CPU(string mixer)
    {
        ModelConfig model = TinyRun.With(mixer);
        double[] onCpu = Losses(TestBackend.Cpu, "cpu", model), here = Losses(Backend, "gpu", model);
        Assert.Equal(onCpu.Length, here.Length);
        for (int step = 0; step < onCpu.Length; step++) Assert.InRange(Math.Abs(here[step] - onCpu[step]) / onCpu[step], 0, Tolerance);
    }

    [Fact]
    public void Two_runs_give_the_same_bits()
    {
        TinyRun.Finish(TinyRun.Options(_folder["a"]), resume: false, Backend);
        TinyRun.Finish(TinyRun.Options(_folder["b"]), resume: false, Backend);
        Assert.Equal(TinyRun.Signature(_folder["a"]), TinyRun.Signature(_folder["b"]));
    }

    [Fact]
    public void An_interrupted_run_goes_on_as_if_it_had_not_been()
    {
        TinyRun.Finish(TinyRun.Options(_folder["whole"]), resume: false, Backend);
        TrainerOptions options = TinyRun.Options(_folder["halves"]);
        using (Trainer trainer = TinyRun.Open(options, resume: false, Backend))
        {
            TrainingResult result = TinyRun.Interrupt(trainer, 6);
            Assert.InRange(result.Step, 6, 7); // A GPU may have been at the next one.
        }

        TinyRun.Finish(options, resume: true, Backend);
        Assert.Equal(TinyRun.Signature(_folder["whole"]), TinyRun.Signature(_folder["halves"]));
    }

    [Fact]
    public void A_checkpoint_moves_between_devices()
    {
        double[] expected = Losses(TestBackend.Cpu, "cpu");
        (TestBackend From, TestBackend To)[] moves = [(TestBackend.Cpu, Backend), (Backend, TestBackend.Cpu)];
        foreach ((TestBackend from, TestBackend to) in moves)
        {
            TrainerOptions options = TinyRun.Options(_folder[$"from {from}"]);
            using (Trainer trainer = TinyRun.Open(options, resume: false, from)) TinyRun.Interrupt(trainer, 5);
            TinyRun.Finish(options, resume: true, to);
            double[] losses = Logged(options.Output, "loss");
            Assert.Equal(expected.Length, losses.Length);
            Assert.InRange(Math.Abs(losses[^1] - expected[^1]) / expected[^1], 0, Tolerance);
            (LanguageModel model, _) = ModelDirectory.Load(options.Output);
            model.Dispose();
        }
    }

    [Fact]
    public void Metrics_are_whole_and_in_order()
    {
        var reported = new List<int>();
        TinyRun.Finish(TinyRun.Options(_folder["run"]), resume: false, Backend, progress => reported.Add(progress.Step));
        int[] steps = [.. Enumerable.Range(1, 12)];
        Assert.Equal(steps, reported);
        Assert.Equal(steps, Logged(_folder["run"], "step").Select(step => (int)step));
        Assert.Equal(3, Logged(_folder["run"], "validation_bits_per_byte").Length);
    }

    [Fact]
    public void A_diverging_run_stops_with_a_sentence_and_keeps_the_last_good_checkpoint()
    {
        TrainerOptions options = TinyRun.Options(_folder["run"]) with { LearningRate = 1e30, WarmupSteps = 0, CheckpointSteps = 1 };
        using Trainer trainer = TinyRun.Open(options, resume: false, Backend);
        string message = Assert.Throws<InputException>(() => trainer.Run()).Message;
        Assert.StartsWith("Training became unstable: the ", message, StringComparison.Ordinal);
        (LanguageModel model, _) = ModelDirectory.Load(_folder["run"]);
        using (model) Assert.All(model.Parameters, parameter => Assert.All(parameter.Value.ToArray(), value => Assert.True(float.IsFinite(value))));
    }

    [Fact]
    public void A_task_takes_the_course_that_it_takes_on_the_CPU()
    {
        var task = new RecallTask { Length = 16, Pairs = 2, VocabularySize = 32, TestExamples = 10 };
        ModelConfig model = ModelConfig.Preset("zoology") with { VocabularySize = 32, Width = 16, Window = 16 };
        (double[] Losses, double Validation) Run(TestBackend backend, string name)
        {
            TrainerOptions options = task.Options(4) with { Output = _folder[name], Steps = 6, LearningRate = 0.01, WarmupSteps = 2 };
            using Trainer trainer = Trainer.Start(model, options, task, backend.Device, backend.Activations);
            ValidationResult validation = trainer.Run().Validation!.Value;
            Assert.Equal(0, validation.Accuracy!.Value * 20 % 1, 1e-5); // Of 20 answers.
            return (Logged(options.Output, "loss"), validation.Loss);
        }

        (double[] expected, double expectedValidation) = Run(TestBackend.Cpu, "cpu");
        (double[] losses, double validation) = Run(Backend, "gpu");
        for (int step = 0; step < expected.Length; step++) Assert.InRange(Math.Abs(losses[step] - expected[step]) / expected[step], 0, Tolerance);
        Assert.InRange(Math.Abs(validation - expectedValidation) / expectedValidation, 0, Tolerance);
    }

    private double[] Losses(TestBackend backend, string name, ModelConfig? model = null)
    {
        TinyRun.Finish(TinyRun.Options(_folder[name]), resume: false, backend, model: model);
        return Logged(_folder[name], "loss");
    }

    private static double[] Logged(string output, string key) =>
        [.. File.ReadAllLines(Path.Combine(output, "metrics.jsonl")).Select(line => JsonNode.Parse(line)![key]).OfType<JsonNode>().Select(value => value.GetValue<double>())];
}
