using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Info;

/// <summary>What this machine can do.</summary>
internal static class MachineReport
{
    private const int PeakSamples = 5;

    public static void Write(bool measure, bool json)
    {
        Machine machine = Machine.Current;
        Peak[]? peaks = measure ? [.. ThreadCounts(machine).Select(Measure)] : null;
        CudaReport cuda = CudaReport.Read();
        if (json)
        {
            JsonOutput.Write(new { Machine = machine, Cuda = cuda, Peaks = peaks });
            return;
        }

        Facts.Print("gatedfwa", machine.VersionInWords);
        Facts.Print("processor", machine.Processor);
        Facts.Print("threads", $"{machine.Processors}");
        Facts.Print("vector unit", machine.Simd);
        Facts.Print("memory", Words.Bytes(machine.MemoryBytes));
        foreach ((string name, string value) in cuda.Lines()) Facts.Print(name, value);
        Facts.Print("system", machine.System);
        Facts.Print("runtime", machine.Runtime);
        foreach (Peak peak in peaks ?? [])
        {
            Facts.Print(
                $"peak, {Words.Count(peak.Threads, "thread")}",
                $"{peak.FmaGigaflops:F0} GF/s (float32 FMA), reads {peak.ReadGigabytesPerSecond:F1} GB/s");
        }
    }

    private static IEnumerable<int> ThreadCounts(Machine machine) => machine.Processors == 1 ? [1] : [1, machine.Processors];

    /// <summary>The best of a few: what the processor can do while nobody else uses it.</summary>
    private static Peak Measure(int threads) =>
        new(
            threads,
            Enumerable.Range(0, PeakSamples).Max(_ => MachinePeak.FmaGigaflops(threads)),
            MachinePeak.ReadGigabytesPerSecond(threads));

    private sealed record Peak(int Threads, double FmaGigaflops, double ReadGigabytesPerSecond);
}
