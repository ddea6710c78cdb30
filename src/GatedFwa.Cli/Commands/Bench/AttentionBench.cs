using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Gated window attention, forward and backward, and how it scales with the length of the text.</summary>
internal sealed class AttentionBench : IBenchmark
{
    private const int ForwardSamples = 15, BackwardSamples = 11, LengthSamples = 3;
    private const int LongWindow = 512, LongHeads = 2;

    private static readonly int[] Lengths = [4096, 16384, 65536, 262144];

    public string Name => "attention";

    public string Explanation =>
        "Gated attention in float32, B1 H8 T4096 D64. Work: visible pairs only, × 4·D a head forward, × 10·D backward. " +
        "µs/token: forward + backward at W512 with 2 heads, whose limit is the time the same work takes at the FMA peak.";

    public IEnumerable<Row> Measure(int threads)
    {
        foreach (int? window in (int?[])[512, 128, null])
        {
            using var run = new AttentionRun(tokens: 4096, heads: 8, headSize: 64, window, gated: true);
            string name = window is { } w ? $"W{w}" : "full causal";
            yield return Clock.Gigaflops($"forward {name}", threads, run.ForwardFlops, ForwardSamples, run.Forward);
            yield return Clock.Gigaflops($"backward {name}", threads, run.BackwardFlops, BackwardSamples, run.Backward);
        }

        foreach (int tokens in Lengths) yield return TimePerToken(tokens, threads);
    }

    private static Row TimePerToken(int tokens, int threads)
    {
        using var run = new AttentionRun(tokens, LongHeads, headSize: 64, LongWindow, gated: true);
        double flops = run.ForwardFlops + run.BackwardFlops;
        WorkerPool.Shared.Threads = threads;
        // A short text is repeated until the sample is as trustworthy as that of a long one.
        int repeats = Math.Max(1, Lengths[2] / tokens);
        Clock.WarmUp(run.ForwardAndBackward);
        Sample[] samples = Clock.Take(LengthSamples, () => flops / MachinePeak.FmaGigaflops(threads) / 1e3 / tokens, () =>
        {
            double seconds = 0;
            for (int i = 0; i < repeats; i++) seconds += run.ForwardAndBackward();
            return seconds / repeats / tokens * 1e6;
        });
        return new Row($"T = {tokens:N0}", threads, "µs/tok", samples) { LessIsBetter = true };
    }
}
