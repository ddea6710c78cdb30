using System.Diagnostics;
using System.Runtime.InteropServices;

namespace GatedFwa.Cli.Tests;

/// <summary>A run that is stopped, in whatever way, and resumed is the run that never was.</summary>
public sealed partial class InterruptionTests : CommandTest
{
    private const int SigInt = 2, SigKill = 9, SigTerm = 15;
    private const int Steps = 600;

    public InterruptionTests() => TinyRun.WriteCorpus(Folder);

    [Theory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    [InlineData(SigKill, 137)]
    public void A_stopped_and_resumed_run_gives_the_bytes_of_one_that_was_never_stopped(int signal, int exitCode)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals.");
        Succeeded(Run(TinyRun.Train("whole", Steps)));

        CommandResult stopped = RunUntilStopped(signal, TinyRun.Train("stopped", Steps, "--save-every", "0.01"), InFolder("stopped"));
        Assert.Equal(exitCode, stopped.ExitCode);
        if (signal != SigKill) Assert.Contains("train --resume --output stopped", stopped.Error);
        Assert.False(
            File.ReadAllBytes(InFolder("whole", "model.safetensors")).AsSpan().SequenceEqual(File.ReadAllBytes(InFolder("stopped", "model.safetensors"))),
            "The run was not stopped in time.");

        CommandResult resumed = Run("train", "--resume", "--output", "stopped", "--threads", "1");
        Succeeded(resumed);
        Assert.Contains("Going on after step", resumed.Error);
        Assert.Equal(
            File.ReadAllBytes(InFolder("whole", "model.safetensors")),
            File.ReadAllBytes(InFolder("stopped", "model.safetensors")));
        Assert.Equal(Steps, File.ReadAllLines(InFolder("stopped", "metrics.jsonl")).Length);
    }

    [Fact]
    public void A_stopped_and_resumed_comparison_trains_what_was_left()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals.");
        string[] compare = TinyRun.Compare("stopped", Steps, "--mixers", "full,gatedfwa", "--evaluate-every", "200");
        CommandResult stopped = RunUntilStopped(SigInt, compare, InFolder("stopped", "gatedfwa", "seed-0"));
        Assert.Equal(130, stopped.ExitCode);
        Assert.Contains("Stopped gatedfwa, seed 0 after step", stopped.Error);
        Assert.Contains("compare --resume --output stopped", stopped.Error);

        CommandResult resumed = Run("compare", "--resume", "--output", "stopped", "--threads", "1");
        Succeeded(resumed);
        Assert.Contains("full, seed 0: loss", resumed.Error);
        Assert.Contains("was finished before", resumed.Error);
        Succeeded(Run(TinyRun.Compare("whole", Steps, "--mixers", "gatedfwa", "--evaluate-every", "200")));
        Assert.Equal(
            File.ReadAllBytes(InFolder("whole", "gatedfwa", "seed-0", "model.safetensors")),
            File.ReadAllBytes(InFolder("stopped", "gatedfwa", "seed-0", "model.safetensors")));
    }

    private CommandResult RunUntilStopped(int signal, string[] command, string run)
    {
        using Process process = Cli.Start(Folder, command);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Close();
        WaitForSteps(process, run, 5);
        Assert.Equal(0, Kill(process.Id, signal));
        return Cli.Finish(process, output, error);
    }

    private static void WaitForSteps(Process process, string run, int steps)
    {
        string metrics = Path.Combine(run, "metrics.jsonl");
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < TimeSpan.FromMinutes(1) && !process.HasExited)
        {
            if (File.Exists(metrics) && new FileInfo(metrics).Length > 100 * steps) return;
            Thread.Sleep(1);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
