using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>What the gate costs: computing it, and carrying it through attention.</summary>
internal sealed class GpuGateBench : IGpuBenchmark
{
    private const int Tokens = 65_536, Heads = 16, Width = 1024, SamplesEach = 9, Pairs = 15;
    private const int PairRepeats = 10;
    private const int TapesAtOnce = 4; // Passes that wait to be run back, so that the host is ahead.

    public string Name => "gate";

    public string Explanation =>
        $"The gate operator in bfloat16, T {Tokens:N0}, C {Width}, H {Heads}; " +
        "its limit is copying GPU memory with as many bytes read and written. " +
        "Gate on / off: attention forward + backward, B4 H16 T8192, each pair of samples one after the other.";

    public IEnumerable<Row> Measure(GpuClock gpu)
    {
        foreach (Row row in Operator(gpu)) yield return row;
        foreach ((int headSize, int window) in GpuAttentionBench.Shapes) yield return OnAgainstOff(gpu, headSize, window);
    }

    private static IEnumerable<Row> Operator(GpuClock gpu)
    {
        Device device = gpu.Device;
        using Tensor x = RandomTensor.Normal([1, Tokens, Width], seed: 1, device, DType.BF16);
        using Tensor gateWeight = RandomTensor.Normal([Heads, Width], seed: 2, device);
        using Tensor gateBias = RandomTensor.Normal([Heads], seed: 3, device);
        using Tensor amplitudeWeight = RandomTensor.Normal([Heads, Width], seed: 4, device);
        using Tensor dalpha = RandomTensor.Normal([1, Tokens, Heads], seed: 5, device);
        // x is read, α written; then x, two pre-activations and dα are read, dx is written.
        double xBytes = 2.0 * Tokens * Width, gateBytes = 4.0 * Tokens * Heads;
        double forward = xBytes + gateBytes, backward = (2 * xBytes) + (3 * gateBytes);

        Func<int, double> forwards = gpu.Repeating(() =>
        {
            using var tape = new Tape(recording: false);
            DecayGate.Apply(tape, x, gateWeight, gateBias, amplitudeWeight);
        });
        yield return Against(gpu, "operator forward", forward, forwards);
        yield return Against(gpu, "operator backward", backward, repeats =>
        {
            double milliseconds = 0;
            for (int done = 0; done < repeats; done += TapesAtOnce)
            {
                var recorded = new List<(Tape Tape, Tensor Alpha)>();
                for (int i = done; i < Math.Min(repeats, done + TapesAtOnce); i++)
                {
                    var tape = new Tape();
                    Tensor alpha = DecayGate.Apply(
                        tape, tape.Watch(x), tape.Watch(gateWeight), tape.Watch(gateBias), tape.Watch(amplitudeWeight));
                    recorded.Add((tape, alpha));
                }

                milliseconds += gpu.Milliseconds(() =>
                {
                    foreach ((Tape tape, Tensor alpha) in recorded)
                    {
                        tape.Backward(alpha, dalpha);
                        tape.Dispose();
                    }
                });
            }

            return milliseconds;
        });
    }

    private static Row Against(GpuClock gpu, string what, double bytes, Func<int, double> run) => new(
        what,
        0,
        "GB/s",
        gpu.Take(SamplesEach, () => gpu.CopyGigabytesPerSecond((long)bytes / 2), run, milliseconds => bytes / milliseconds / 1e6));

    private static Row OnAgainstOff(GpuClock gpu, int headSize, int window)
    {
        using AttentionRun on = GpuAttentionBench.Run(gpu, headSize, window, gated: true);
        using AttentionRun off = GpuAttentionBench.Run(gpu, headSize, window, gated: false);
        Func<int, double> runOn = gpu.Repeating(on.RunForwardAndBackward), runOff = gpu.Repeating(off.RunForwardAndBackward);
        runOn(PairRepeats);
        runOff(PairRepeats);
        var samples = new Sample[Pairs];
        for (int i = 0; i < Pairs; i++)
        {
            // Who goes first alternates: a clock that slows down must not favour one of the two.
            double first = (i % 2 == 0 ? runOn : runOff)(PairRepeats), second = (i % 2 == 0 ? runOff : runOn)(PairRepeats);
            samples[i] = new Sample(i % 2 == 0 ? first / second : second / first);
        }

        return new Row($"on / off, D{headSize} W{window}", 0, "×", samples);
    }
}
