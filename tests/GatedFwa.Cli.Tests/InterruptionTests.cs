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

        CommandResult stopped = RunUntilStopped(signal);
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

    private CommandResult RunUntilStopped(int signal)
    {
        using Process process = Cli.Start(Folder, TinyRun.Train("stopped", Steps, "--save-every", "0.01"));
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Close();
        WaitForSteps(process, 5);
        Assert.Equal(0, Kill(process.Id, signal));
        return Cli.Finish(process, output, error);
    }

    private void WaitForSteps(Process process, int steps)
    {
        string metrics = InFolder("stopped", "metrics.jsonl");
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
