using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>What the gate costs: computing it, and carrying it through attention.</summary>
internal sealed class GateBench : IBenchmark
{
    private const int Tokens = 16384, Width = 768, Heads = 12;
    private const int OperatorSamples = 8, PairSamples = 24;
    private const int CopyItemBytes = 1 << 20;

    public string Name => "gate";

    public string Explanation =>
        $"The gate operator, T {Tokens:N0}, C {Width}, H {Heads}; its limit is copying memory with as many bytes read and written. " +
        "Gate on / off: attention forward + backward, B1 H8 T4096 D64, each pair of samples one after the other.";

    public IEnumerable<Row> Measure(int threads)
    {
        WorkerPool.Shared.Threads = threads;
        using var operation = new OperatorRun();
        yield return operation.Against(threads, "operator forward", operation.ForwardBytes, operation.Forward);
        yield return operation.Against(threads, "operator backward", operation.BackwardBytes, operation.Backward);
        foreach (int? window in (int?[])[512, 128, null]) yield return OnAgainstOff(window, threads);
    }

    private static Row OnAgainstOff(int? window, int threads)
    {
        using var on = new AttentionRun(4096, 8, 64, window, gated: true);
        using var off = new AttentionRun(4096, 8, 64, window, gated: false);
        WorkerPool.Shared.Threads = threads;
        on.ForwardAndBackward();
        off.ForwardAndBackward();
        int pairs = window is null ? PairSamples / 4 : PairSamples;
        var samples = new Sample[pairs];
        for (int i = 0; i < pairs; i++)
        {
            // Who goes first alternates: a machine that slows down must not favour one of the two.
            double first = (i % 2 == 0 ? on : off).ForwardAndBackward();
            double second = (i % 2 == 0 ? off : on).ForwardAndBackward();
            samples[i] = new Sample(i % 2 == 0 ? first / second : second / first);
        }

        return new Row($"on / off, {(window is { } w ? $"W{w}" : "full causal")}", threads, "×", samples);
    }

    private sealed class OperatorRun : IDisposable
    {
        private readonly Tensor _x = RandomTensor.Normal([1, Tokens, Width], seed: 1);
        private readonly Tensor _gateWeight = RandomTensor.Normal([Heads, Width], seed: 2);
        private readonly Tensor _gateBias = RandomTensor.Normal([Heads], seed: 3);
        private readonly Tensor _amplitudeWeight = RandomTensor.Normal([Heads, Width], seed: 4);
        private readonly Tensor _dalpha = RandomTensor.Normal([1, Tokens, Heads], seed: 5);
        private readonly Tensor _copy = Tensor.Zeros([1, Tokens, Width]);

        /// <summary>x is read, α is written.</summary>
        public double ForwardBytes => sizeof(float) * (double)Tokens * (Width + Heads);

        /// <summary>x, the two pre-activations and dα are read, dx is written.</summary>
        public double BackwardBytes => sizeof(float) * (double)Tokens * ((2 * Width) + (3 * Heads));

        public Row Against(int threads, string what, double bytes, Func<double> run)
        {
            run();
            return new Row(what, threads, "GB/s", Clock.Take(OperatorSamples, CopyGigabytesPerSecond, () => bytes / run() / 1e9));
        }

        public double Forward() => Clock.Seconds(() =>
        {
            using var tape = new Tape(recording: false);
            DecayGate.Apply(tape, _x, _gateWeight, _gateBias, _amplitudeWeight);
        });

        public double Backward()
        {
            using var tape = new Tape();
            Tensor alpha = DecayGate.Apply(
                tape, tape.Watch(_x), tape.Watch(_gateWeight), tape.Watch(_gateBias), tape.Watch(_amplitudeWeight));
            return Clock.Seconds(() => tape.Backward(alpha, _dalpha));
        }

        public void Dispose()
        {
            foreach (Tensor tensor in (Tensor[])[_x, _gateWeight, _gateBias, _amplitudeWeight, _dalpha, _copy]) tensor.Dispose();
        }

        private double CopyGigabytesPerSecond()
        {
            const int itemFloats = CopyItemBytes / sizeof(float);
            int items = (int)(_x.Count / itemFloats);
            double seconds = Clock.Seconds(() => WorkerPool.Shared.For(items, item =>
                _x.AsSpan().Slice(item * itemFloats, itemFloats).CopyTo(_copy.AsSpan().Slice(item * itemFloats, itemFloats))));
            return 2.0 * items * CopyItemBytes / seconds / 1e9;
        }
    }
}
