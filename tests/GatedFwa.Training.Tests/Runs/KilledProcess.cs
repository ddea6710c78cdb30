using System.Runtime.CompilerServices;

namespace GatedFwa.Training.Tests.Runs;

/// <summary>
/// The process that <see cref="ResumeTests"/> kills: this very test program, which trains instead of testing when the environment
/// names a folder.
/// </summary>
internal static class KilledProcess
{
    public const string Variable = "GATEDFWA_TEST_RUN";

    public static TrainerOptions Options(string output) =>
        TinyRun.Options(output) with { Steps = 60, CheckpointSteps = 4, EvaluationInterval = 20 };

    // Before the test runner's own Main.
    [ModuleInitializer]
    internal static void TrainIfAsked()
    {
        if (Environment.GetEnvironmentVariable(Variable) is not { } output) return;
        TrainerOptions options = Options(output);
        using Trainer trainer = File.Exists(Path.Combine(output, "training_state.safetensors"))
            ? Trainer.Resume(TinyRun.Model, options, TinyRun.Data)
            : Trainer.Start(TinyRun.Model, options, TinyRun.Data);
        trainer.Run(progress => Console.WriteLine(progress.Step));
        Environment.Exit(0);
    }
}
