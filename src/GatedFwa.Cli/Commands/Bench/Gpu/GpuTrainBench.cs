using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Memory;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>Whole training steps of the model of 124 million parameters.</summary>
internal sealed class GpuTrainBench : IGpuBenchmark
{
    private const int Batch = 8, Context = 4096, SampleCount = 6, StepsPerSample = 5, WarmUps = 3;

    public string Name => "train";

    public string Explanation =>
        $"A training step of the preset small with {GpuModel.Vocabulary:N0} tokens in bfloat16, {Batch} × {Context:N0} tokens: forward, backward, norm, clipping, AdamW. " +
        "Work: 6 · parameters + 14 · D · visible keys a head and layer, for each token. The limit is a product of 8192³ beside each sample.";

    public IEnumerable<Row> Measure(GpuClock gpu)
    {
        using LanguageModel model = GpuModel.New(gpu);
        using var optimizer = new AdamW(model.Parameters);
        using ParameterUpdate update = ParameterUpdate.For(optimizer, clipNorm: 1, batches: 1, lossScale: 1);
        double tokens = Batch * (double)Context, flops = FlopsPerStep(model);
        Func<StepVerdict>? last = null;
        Func<int, double> run = gpu.Repeating(() =>
        {
            Func<StepVerdict>? before = last;
            last = Step(model, optimizer, update);
            before?.Invoke(); // As the trainer does: read one step later.
        });
        for (int i = 0; i < WarmUps; i++) run(1);
        // Before the clock takes memory of its own.
        MemoryStatistics memory = DeviceMemory.Statistics(gpu.Device);
        Sample[] samples = Clock.Take(
            SampleCount, () => gpu.PeakTeraflops() * 1e12 * tokens / flops, () => StepsPerSample * tokens / run(StepsPerSample) * 1e3);
        yield return new Row("tokens", 0, "tok/s", samples);
        yield return new Row("peak memory in use", 0, "GiB", [new Sample(memory.PeakBytes / (double)(1 << 30))]);
        yield return new Row("memory taken", 0, "GiB", [new Sample(memory.ReservedBytes / (double)(1 << 30))]);
    }

    private static double FlopsPerStep(LanguageModel model)
    {
        ModelConfig config = model.Config;
        double attention = AttentionRun.VisiblePairs(Context, config.Window) * (4.0 + 10) * config.Width * config.Layers;
        return Batch * ((6.0 * model.ParameterCount * Context) + attention);
    }

    private static Func<StepVerdict> Step(LanguageModel model, AdamW optimizer, ParameterUpdate update)
    {
        optimizer.ClearGradients();
        using (var tape = new Tape())
        {
            int[] text = GpuModel.Tokens(Batch * Context, 0), next = [.. text.Skip(1), 0];
            Shape shape = [Batch, Context];
            Tensor loss = model.Loss(tape, tape.Own(Tensor.From(text, shape, model.Device)), tape.Own(Tensor.From(next, shape, model.Device)));
            tape.Backward(loss);
            update.Gather(0, loss);
        }

        return update.Take(learningRate: 1e-4f);
    }
}
