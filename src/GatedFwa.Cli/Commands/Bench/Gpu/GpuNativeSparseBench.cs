using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>Native sparse attention as a whole and piece by piece, at lengths where dense attention hurts.</summary>
internal sealed class GpuNativeSparseBench : IGpuBenchmark
{
    private const int Heads = 64, KeyHeads = 4, HeadSize = 128, Window = 512, SamplesEach = 5;

    private static readonly int[] Lengths = [8192, 32_768, 131_072];

    public string Name => "native-sparse";

    public string Explanation =>
        $"Native sparse attention in bfloat16, B1 H{Heads} Hkv{KeyHeads} D{HeadSize}, blocks of 64, 16 chosen, window {Window}, gate on. " +
        "Dense work of the same length (4·D a visible pair and head forward, 10·D backward) at the rate of a product of 8192³ is the " +
        "limit.";

    public IEnumerable<Row> Measure(GpuClock gpu)
    {
        foreach (int tokens in Lengths)
        {
            using var inputs = new Inputs(gpu.Device, tokens);
            double pairs = (double)AttentionRun.VisiblePairs(tokens, null) * Heads * HeadSize;
            foreach ((string name, Func<Tape, Tensor> apply) in inputs.Pieces())
            {
                // Only the whole can be held against dense attention.
                double? flops = name == "all" ? pairs : null;
                yield return Timed(gpu, $"T {tokens:N0} {name} forward", 4 * flops, () => Forward(gpu, apply));
                yield return Timed(gpu, $"T {tokens:N0} {name} backward", 10 * flops, () => Backward(gpu, apply, inputs.OutputGradient));
            }
        }
    }

    private static Row Timed(GpuClock gpu, string what, double? flops, Func<double> milliseconds)
    {
        milliseconds(); // Kernels are compiled, memory is taken.
        Sample[] samples = [.. Enumerable.Range(0, SamplesEach).Select(_ => new Sample(milliseconds(), flops / gpu.PeakTeraflops() / 1e9))];
        return new Row(what, 0, "ms", samples) { LessIsBetter = true };
    }

    private static double Forward(GpuClock gpu, Func<Tape, Tensor> apply)
    {
        using var tape = new Tape(recording: false);
        return gpu.Milliseconds(() => apply(tape));
    }

    private static double Backward(GpuClock gpu, Func<Tape, Tensor> apply, Tensor outputGradient)
    {
        using var tape = new Tape();
        Tensor result = apply(tape);
        // Of a piece whose result has another shape: its own values will do.
        Tensor gradient = result.Shape == outputGradient.Shape ? outputGradient : result;
        return gpu.Milliseconds(() => tape.Backward(result, gradient));
    }

    private sealed class Inputs : IDisposable
    {
        private static readonly NativeSparseOptions Options = new() { Window = Window };

        private readonly Tensor _q, _k, _v, _alpha;
        private readonly BranchGates _gates;
        private readonly NativeSparseProblem _problem;

        // What pieces read that are measured alone.
        private readonly Tape _kept = new(recording: false);

        public Inputs(Device device, int tokens)
        {
            Shape queries = [1, tokens, Heads, HeadSize], keys = [1, tokens, KeyHeads, HeadSize], gates = [1, tokens, Heads];
            _q = RandomTensor.NormalRows(queries, seed: 1, device, DType.BF16);
            _k = RandomTensor.NormalRows(keys, seed: 2, device, DType.BF16);
            _v = RandomTensor.NormalRows(keys, seed: 3, device, DType.BF16);
            OutputGradient = RandomTensor.NormalRows(queries, seed: 4, device, DType.BF16);
            _alpha = RandomTensor.Decay(gates, seed: 5, device);
            Tensor Gate(ulong seed) => RandomTensor.Decay(gates, seed, device);
            _gates = new BranchGates(Gate(6), Gate(7), Gate(8));
            _problem = NativeSparseProblem.Check(_q, _k, _v, _alpha, _gates, blockIndices: null, Options);
        }

        public Tensor OutputGradient { get; }

        public IEnumerable<(string Name, Func<Tape, Tensor> Apply)> Pieces()
        {
            yield return ("all", tape => NativeSparseAttention.Apply(
                tape, tape.Watch(_q), tape.Watch(_k), tape.Watch(_v), tape.Watch(_alpha), Watched(tape), Options));
            Tensor pooledK = BlockPooling.Apply(_kept, _problem, _k), pooledV = BlockPooling.Apply(_kept, _problem, _v);
            Tensor compressed = CompressedAttention.Apply(_kept, _problem, _q, pooledK, pooledV, out Tensor lse);
            Tensor indices = BlockSelection.Apply(_kept, _problem, _q, pooledK, lse);
            yield return ("pooling (k)", tape => BlockPooling.Apply(tape, _problem, tape.Watch(_k)));
            yield return ("compressed", tape => CompressedAttention.Apply(
                tape, _problem, tape.Watch(_q), tape.Watch(pooledK), tape.Watch(pooledV), out _));
            yield return ("compressed + choice", tape =>
            {
                Tensor o = CompressedAttention.Apply(
                    tape, _problem, tape.Watch(_q), tape.Watch(pooledK), tape.Watch(pooledV), out Tensor sums);
                BlockSelection.Apply(tape, _problem, _q, pooledK, sums);
                return o;
            });
            yield return ("selected", tape => SelectedAttention.Apply(
                tape, _problem, tape.Watch(_q), tape.Watch(_k), tape.Watch(_v), indices));
            yield return ("window", tape => GatedWindowAttention.Apply(
                tape, tape.Watch(_q), tape.Watch(_k), tape.Watch(_v), tape.Watch(_alpha), NativeSparseProblem.WindowOptions(Options)));
            yield return ("mix", tape => BranchMix.Apply(
                tape, Watched(tape), tape.Watch(compressed), tape.Watch(_q), tape.Watch(OutputGradient)));
        }

        public void Dispose()
        {
            _kept.Dispose();
            Tensor[] tensors = [_q, _k, _v, OutputGradient, _alpha, _gates.Compressed, _gates.Selected, _gates.Window];
            foreach (Tensor tensor in tensors) tensor.Dispose();
        }

        private BranchGates Watched(Tape tape) =>
            new(tape.Watch(_gates.Compressed), tape.Watch(_gates.Selected), tape.Watch(_gates.Window));
    }
}
