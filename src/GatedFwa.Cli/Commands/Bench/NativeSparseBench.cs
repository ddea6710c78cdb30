using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Native sparse attention beside full attention to the same text, and from which length on it pays.</summary>
internal sealed class NativeSparseBench : IBenchmark
{
    private const int Heads = 8, KeyHeads = 2, HeadSize = 64;

    private static readonly NativeSparseOptions Options = new() { Window = 512, BlockSize = 64, BlockCount = 16 };

    // Full attention to the longest texts takes longer than everything else together.
    private static readonly (int Tokens, int Samples)[] Lengths = [(1024, 9), (2048, 7), (4096, 5), (8192, 3), (16384, 1), (32768, 1)];

    public string Name => "native-sparse";

    public string Explanation =>
        $"Native sparse attention in float32, B1 H{Heads} Hkv{KeyHeads} D{HeadSize}, ℓ{Options.BlockSize} n{Options.BlockCount} " +
        $"W{Options.Window}: forward as in training, backward, and how many times longer full causal attention takes to the same " +
        "text, forward + backward, the two measured one after the other. The longest text takes full attention most of a minute.";

    public IEnumerable<Row> Measure(int threads) => Lengths.SelectMany(length => Measure(length.Tokens, length.Samples, threads));

    private static Row[] Measure(int tokens, int samples, int threads)
    {
        WorkerPool.Shared.Threads = threads;
        using var run = new NativeSparseRun(tokens, Heads, KeyHeads, HeadSize, Options);
        if (samples > 1) Clock.WarmUp(() => Times(run, run.Record).Sum() + Times(run, run.RecordFull).Sum());
        double[][] sparse = new double[samples][], full = new double[samples][];
        for (int i = 0; i < samples; i++)
        {
            // Who goes first alternates: a machine that slows down must not favour one of the two.
            if (i % 2 == 1) full[i] = Times(run, run.RecordFull);
            sparse[i] = Times(run, run.Record);
            if (i % 2 == 0) full[i] = Times(run, run.RecordFull);
        }

        Row Milliseconds(string what, double[][] times, int direction) => new(
            $"T = {tokens:N0} {what}", threads, "ms", [.. times.Select(time => new Sample(time[direction] * 1e3))]) { LessIsBetter = true };
        return
        [
            Milliseconds("forward", sparse, 0),
            Milliseconds("backward", sparse, 1),
            Milliseconds("full forward", full, 0),
            Milliseconds("full backward", full, 1),
            new Row($"T = {tokens:N0} full / sparse", threads, "×", [.. full.Zip(sparse, (f, s) => new Sample(f.Sum() / s.Sum()))]),
        ];
    }

    private delegate Tape Recorder(out Tensor o);

    /// <summary>Seconds of a forward pass as in training and of its backward pass.</summary>
    private static double[] Times(NativeSparseRun run, Recorder record)
    {
        Tensor o = null!;
        Tape tape = null!;
        double forward = Clock.Seconds(() => tape = record(out o));
        using (tape) return [forward, Clock.Seconds(() => run.RunBackward(tape, o))];
    }
}
