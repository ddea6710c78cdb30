using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>Attention at the shapes its authors measured, and how it scales with the length of the text.</summary>
internal sealed class GpuAttentionBench : IGpuBenchmark
{
    private const int Batch = 4, Heads = 16, Tokens = 8192, SamplesEach = 9;
    private const int LongWindow = 2048, LongHeadSize = 64, LongSamples = 5;
    private const int TapesAtOnce = 4; // Passes that wait to be run back: their memory is that of as many forward passes.

    private static readonly int[] Lengths = [8192, 32_768, 131_072, 1_048_576];

    /// <summary>Head size and window of each.</summary>
    public static IEnumerable<(int HeadSize, int Window)> Shapes => [(64, 512), (64, 2048), (128, 512), (128, 2048)];

    public string Name => "attention";

    public string Explanation =>
        $"Attention in bfloat16, B{Batch} H{Heads} T{Tokens}, gate on and off. Work: visible pairs only, × 4·D a head forward, × 10·D backward. " +
        $"ns/token: forward + backward at W{LongWindow} D{LongHeadSize}, B1 H{Heads}, {Lengths[^1]:N0} tokens a sample. " +
        "The limit is a product of 8192³, measured before and after a row's samples.";

    public static AttentionRun Run(GpuClock gpu, int headSize, int window, bool gated) =>
        new(Tokens, Heads, headSize, window, gated, Batch, gpu.Device, DType.BF16);

    public IEnumerable<Row> Measure(GpuClock gpu)
    {
        foreach ((int headSize, int window) in Shapes)
        {
            foreach (bool gated in (bool[])[true, false])
            {
                using AttentionRun run = Run(gpu, headSize, window, gated);
                string name = $"D{headSize} W{window}{(gated ? " gate" : "")}";
                foreach (Row row in gpu.Timed($"{name} forward", run.ForwardFlops, SamplesEach, gpu.Repeating(run.RunForward))) yield return row;
                foreach (Row row in gpu.Timed($"{name} backward", run.BackwardFlops, SamplesEach, repeats => Backward(gpu, run, repeats)))
                    yield return row;
            }
        }

        foreach (int tokens in Lengths) yield return TimePerToken(gpu, tokens);
    }

    private static double Backward(GpuClock gpu, AttentionRun run, int repeats)
    {
        double milliseconds = 0;
        for (int done = 0; done < repeats; done += TapesAtOnce)
        {
            var recorded = new List<(Tape Tape, Tensor O)>();
            for (int i = done; i < Math.Min(repeats, done + TapesAtOnce); i++)
            {
                Tape tape = run.Record(out Tensor o);
                recorded.Add((tape, o));
            }

            milliseconds += gpu.Milliseconds(() =>
            {
                foreach ((Tape tape, Tensor o) in recorded)
                {
                    run.RunBackward(tape, o);
                    tape.Dispose();
                }
            });
        }

        return milliseconds;
    }

    private static Row TimePerToken(GpuClock gpu, int tokens)
    {
        using var run = new AttentionRun(tokens, Heads, LongHeadSize, LongWindow, gated: true, batch: 1, gpu.Device, DType.BF16);
        double flops = run.ForwardFlops + run.BackwardFlops;
        // As many tokens for each length: the longer a GPU works, the hotter it is, and the lower its clock.
        int times = Lengths[^1] / tokens;
        Sample[] samples = gpu.Take(
            LongSamples,
            () => flops / gpu.PeakTeraflops() / 1e3 / tokens,
            () =>
            {
                for (int i = 0; i < times; i++) run.RunForwardAndBackward();
            },
            milliseconds => milliseconds * 1e6 / Lengths[^1]);
        return new Row($"T = {tokens:N0}", 0, "ns/tok", samples) { LessIsBetter = true };
    }
}
