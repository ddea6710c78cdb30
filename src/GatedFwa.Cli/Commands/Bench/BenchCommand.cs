using System.CommandLine;
using System.Globalization;
using GatedFwa.Cli.Commands.Bench.Gpu;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary><c>gatedfwa bench</c>: how fast this machine runs this library, against what the machine could do.</summary>
internal static class BenchCommand
{
    private static readonly IBenchmark[] Benchmarks =
        [new MatMulBench(), new GateBench(), new AttentionBench(), new NativeSparseBench(), new TrainBench(), new DecodeBench()];

    private static readonly IGpuBenchmark[] GpuBenchmarks =
    [
        new GpuMatMulBench(), new GpuGateBench(), new GpuAttentionBench(), new GpuNativeSparseBench(), new GpuTrainBench(),
        new GpuDecodeBench(),
    ];

    public static Command Create()
    {
        var kind = new Argument<string>("kind")
        {
            Description = $"What to measure: {string.Join(", ", Benchmarks.Select(benchmark => benchmark.Name))}.",
        };
        kind.AcceptOnlyFromAmong([.. Benchmarks.Select(benchmark => benchmark.Name)]);
        var threads = new Option<int[]>("--threads")
        {
            Description = $"Numbers of threads to measure, one after the other. [default: 1 and all {Environment.ProcessorCount}]",
            HelpName = "N",
            AllowMultipleArgumentsPerToken = true,
        };
        threads.Validators.Add(result =>
        {
            if (result.Tokens.Any(token => int.TryParse(token.Value, CultureInfo.InvariantCulture, out int count) && count < 1))
                result.AddError("--threads must be at least 1.");
        });
        Option<string> device = SharedOptions.Device();
        Option<bool> json = SharedOptions.Json();
        var command = new Command(
            "bench",
            "Measures speed, mostly in under a minute: median, spread, and the share of what the machine could do at that very moment " +
            "(FMA or tensor-core peak, or memory bandwidth).")
        {
            kind, threads, device, json,
        };
        command.SetAction(result =>
        {
            string name = result.GetValue(kind)!;
            Device place = SharedOptions.ParseDevice(result.GetValue(device)!);
            if (!place.IsCpu)
            {
                if (result.GetResult(threads) is { Implicit: false })
                    throw new InputException("--threads is for the CPU; leave it out with --device cuda.");
                IGpuBenchmark onGpu = GpuBenchmarks.SingleOrDefault(benchmark => benchmark.Name == name)
                    ?? throw new InputException($"bench {name} measures the CPU alone; leave --device out.");
                RunOnGpu(onGpu, place, result.GetValue(json));
                return;
            }

            IBenchmark benchmark = Benchmarks.Single(benchmark => benchmark.Name == name);
            int[] counts = result.GetValue(threads) is { Length: > 0 } given ? given : [1, Environment.ProcessorCount];
            Run(benchmark, [.. counts.Distinct()], result.GetValue(json));
        });
        return command.WithExamples(
            ("Matrix products on one thread and on all:", "gatedfwa bench matmul"),
            ("Attention on an NVIDIA GPU:", "gatedfwa bench attention --device cuda"),
            ("Attention on two threads, for a program:", "gatedfwa bench attention --threads 2 --json"));
    }

    private static void Run(IBenchmark benchmark, int[] threads, bool json)
    {
        TextWriter output = json ? TextWriter.Null : Console.Out;
        BenchReport.PrintHeader(benchmark.Explanation, output);
        var rows = new List<Row>();
        foreach (int count in threads)
        {
            BenchReport.PrintColumns(Words.Count(count, "thread"), output);
            foreach (Row row in benchmark.Measure(count))
            {
                rows.Add(row);
                BenchReport.PrintRow(row, output);
            }
        }

        if (json) JsonOutput.Write(BenchReport.ToDocument(benchmark.Name, benchmark.Explanation, gpu: null, rows));
    }

    private static void RunOnGpu(IGpuBenchmark benchmark, Device device, bool json)
    {
        TextWriter output = json ? TextWriter.Null : Console.Out;
        using var gpu = new GpuClock(device);
        BenchReport.PrintHeader(benchmark.Explanation, output);
        BenchReport.PrintColumns(gpu.Description, output);
        var rows = new List<Row>();
        foreach (Row row in benchmark.Measure(gpu))
        {
            rows.Add(row);
            BenchReport.PrintRow(row, output);
        }

        if (json) JsonOutput.Write(BenchReport.ToDocument(benchmark.Name, benchmark.Explanation, gpu.Description, rows));
    }
}
