using System.CommandLine;
using System.Globalization;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa info</c>: what a file holds, or what this machine can do.</summary>
internal static class InfoCommand
{
    private const string NoGpu = "not in this build (CPU only)";

    public static Command Create()
    {
        var path = new Argument<string?>("path") { Description = "A model directory, a run, or a safetensors file; without it, this machine.", Arity = ArgumentArity.ZeroOrOne };
        var peak = new Option<bool>("--peak") { Description = "Also measure the machine: FMA peak and memory bandwidth (a second)." };
        Option<bool> json = SharedOptions.Json();
        var command = new Command("info", "Says what a model directory or safetensors file holds, or what this machine can do.") { path, peak, json };
        command.SetAction(result =>
        {
            DescribeMachine(result.GetValue(peak), result.GetValue(json));
        });
        return command.WithExamples(
            ("What this machine can do:", "gatedfwa info --peak"),
            ("What a trained model is made of:", "gatedfwa info runs/nano"));
    }

    private static void DescribeMachine(bool measure, bool json)
    {
        Machine machine = Machine.Current;
        int[] threads = machine.Processors == 1 ? [1] : [1, machine.Processors];
        var peaks = measure
            ? threads.Select(count => new { Threads = count, FmaGigaflops = BestFma(count), ReadGigabytesPerSecond = MachinePeak.ReadGigabytesPerSecond(count) }).ToArray()
            : null;
        if (json)
        {
            JsonOutput.Write(new { Machine = machine, Cuda = new { Available = false, Reason = NoGpu }, Peaks = peaks });
            return;
        }

        Print("gatedfwa", machine.VersionInWords);
        Print("processor", machine.Processor);
        Print("threads", $"{machine.Processors}");
        Print("vector unit", machine.Simd);
        Print("memory", Bytes(machine.MemoryBytes));
        Print("GPU", NoGpu);
        Print("system", machine.System);
        Print("runtime", machine.Runtime);
        foreach (var p in peaks ?? [])
            Print($"peak, {p.Threads} {(p.Threads == 1 ? "thread" : "threads")}", $"{p.FmaGigaflops:F0} GF/s (float32 FMA), reads {p.ReadGigabytesPerSecond:F1} GB/s");
    }

    /// <summary>The best of a few: what the processor can do when nobody else uses it.</summary>
    private static double BestFma(int threads) => Enumerable.Range(0, 5).Max(_ => MachinePeak.FmaGigaflops(threads));

    private static void Print(string name, string value) => Console.Out.WriteLine($"{name,-18} {value}");

    private static string Bytes(long bytes) => bytes switch
    {
        >= 1L << 30 => (bytes / (double)(1 << 30)).ToString("F1", CultureInfo.InvariantCulture) + " GiB",
        >= 1L << 20 => (bytes / (double)(1 << 20)).ToString("F1", CultureInfo.InvariantCulture) + " MiB",
        _ => $"{bytes:N0} bytes",
    };
}
