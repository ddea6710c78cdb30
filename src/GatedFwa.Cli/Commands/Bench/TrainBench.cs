using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Whole training steps: forward, backward, AdamW.</summary>
internal sealed class TrainBench : IBenchmark
{
    private const int Batch = 2, Context = 1024, SampleCount = 6;

    public string Name => "train";

    public string Explanation =>
        $"A training step of the preset tiny (6 layers × 384, window 256), {Batch} × {Context} tokens: forward, backward, AdamW. " +
        "Work: 6 · parameters + 14 · D · visible keys a head and layer, for each token. The limit is the FMA peak beside each sample.";

    public IEnumerable<Row> Measure(int threads)
    {
        using var model = new LanguageModel(ModelConfig.Preset("tiny"));
        using var optimizer = new AdamW(model.Parameters);
        double flops = FlopsPerStep(model);
        Row row = Clock.Gigaflops("step", threads, flops, SampleCount, () => Clock.Seconds(() => Step(model, optimizer)));
        yield return row;
        double tokensPerGigaflop = Batch * Context / (flops / 1e9);
        yield return new Row("tokens", threads, "tok/s", [.. row.Samples.Select(sample => new Sample(sample.Value * tokensPerGigaflop))]);
    }

    private static double FlopsPerStep(LanguageModel model)
    {
        ModelConfig config = model.Config;
        double attention = AttentionRun.VisiblePairs(Context, config.Window) * (4.0 + 10) * config.Width * config.Layers;
        return Batch * ((6.0 * model.ParameterCount * Context) + attention);
    }

    private static void Step(LanguageModel model, AdamW optimizer)
    {
        foreach (Parameter parameter in model.Parameters) parameter.ClearGradient();
        using (var tape = new Tape())
        {
            int[] text = [.. Enumerable.Range(0, Batch * Context).Select(i => i * 7919 % 256)];
            int[] next = [.. text.Skip(1), 0];
            tape.Backward(model.Loss(tape, tape.Own(Tensor.From(text, [Batch, Context])), tape.Own(Tensor.From(next, [Batch, Context]))));
        }

        optimizer.Step(learningRate: 1e-4f);
    }
}
