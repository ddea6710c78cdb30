using System.Text.Json.Nodes;
using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests.Runs;

/// <summary>A run of a fraction of a second, and what it leaves behind in a form that can be compared.</summary>
internal static class TinyRun
{
    public static readonly ModelConfig Model = new()
    {
        VocabularySize = 257,
        Layers = 2,
        Width = 16,
        Heads = 2,
        KeyHeads = 1,
        Window = 8,
        FeedForwardWidth = 24,
        Dropout = 0.1f,
    };

    /// <summary>The same model with another mixer.</summary>
    public static ModelConfig With(string mixer) =>
        Mixer.Parse(mixer).In(Model with { NativeSparse = new() { BlockSize = 4, BlockCount = 3 } });

    public static DocumentSplit Data { get; } = DocumentSplit.Of([.. Enumerable.Range(0, 40).Select(i => Texts.Document(60, (ulong)i))], seed: 0);

    public static TrainerOptions Options(string output) => new()
    {
        Output = output,
        Steps = 12,
        BatchSize = 2,
        Context = 16,
        AccumulationSteps = 2,
        LearningRate = 0.01,
        WarmupSteps = 3,
        EvaluationInterval = 5,
        CheckpointSeconds = 0,
        CheckpointSteps = 4,
        Seed = 3,
    };

    /// <summary>Runs, or goes on, until the end.</summary>
    public static TrainingResult Finish(
        TrainerOptions options, bool resume, TestBackend? backend = null, Action<TrainingProgress>? progress = null, ModelConfig? model = null)
    {
        using Trainer trainer = Open(options, resume, backend, model);
        return trainer.Run(progress);
    }

    /// <summary>Starts a run or goes on with it.</summary>
    public static Trainer Open(TrainerOptions options, bool resume, TestBackend? backend = null, ModelConfig? model = null)
    {
        (Device device, DType type) = backend ?? TestBackend.Cpu;
        model ??= Model;
        return resume ? Trainer.Resume(model, options, Data, device, type) : Trainer.Start(model, options, Data, device, type);
    }

    /// <summary>Runs until so many steps are done, then interrupts as Ctrl-C does.</summary>
    public static TrainingResult Interrupt(Trainer trainer, int step)
    {
        using var cancellation = new CancellationTokenSource();
        return trainer.Run(progress =>
        {
            if (progress.Step == step) cancellation.Cancel();
        }, cancellation.Token);
    }

    /// <summary>
    /// All weights and moments, the state and the metrics, without anything that tells the time or where and how often files are
    /// written.
    /// </summary>
    public static string Signature(string output)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(output, "training_state.safetensors"));
        IEnumerable<string> tensors = file.Entries.Select(entry => $"{entry.Name} {Convert.ToHexString(System.Runtime.InteropServices.MemoryMarshal.AsBytes(file.ReadFloats(entry.Name).AsSpan()))}");
        string state = WithoutTimes(file.Metadata["training_state"]);
        string[] metrics = [.. File.ReadAllLines(Path.Combine(output, "metrics.jsonl")).Select(WithoutTimes)];
        return string.Join('\n', [.. tensors, state, .. metrics]);
    }

    private static string WithoutTimes(string json)
    {
        JsonObject line = JsonNode.Parse(json)!.AsObject();
        foreach (string timed in new[] { "tokens_per_second", "elapsed_seconds", "metrics_bytes" }) line.Remove(timed);
        foreach (string free in new[] { "output", "checkpoint_steps", "checkpoint_seconds" }) (line["options"] as JsonObject)?.Remove(free);
        return line.ToJsonString();
    }
}
