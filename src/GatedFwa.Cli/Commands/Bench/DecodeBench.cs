using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>One token after the other from the model of 124 million parameters: bounded by how fast memory gives the weights.</summary>
internal sealed class DecodeBench : IBenchmark
{
    private const int SampleCount = 10, TokensPerSample = 8;

    public string Name => "decode";

    public string Explanation =>
        "Generating with the preset small, its window full. Every weight is read once a token: the limit is reading memory, measured before and after each sample.";

    public IEnumerable<Row> Measure(int threads)
    {
        WorkerPool.Shared.Threads = threads;
        using var model = new LanguageModel(ModelConfig.Preset("small"));
        using DecodeState state = model.NewState();
        Feed(model, state, model.Config.Window ?? 1);
        double weightBytes = sizeof(float) * (double)model.ParameterCount;
        Feed(model, state, 1);

        Sample[] samples = Clock.Take(SampleCount, () => MachinePeak.ReadGigabytesPerSecond(threads), () =>
        {
            double seconds = 0;
            for (int i = 0; i < TokensPerSample; i++) seconds += Clock.Seconds(() => Feed(model, state, 1));
            return weightBytes * TokensPerSample / seconds / 1e9;
        });
        yield return new Row($"weights ({weightBytes / 1e6:F0} MB a token)", threads, "GB/s", samples);
        yield return new Row("tokens", threads, "tok/s", [.. samples.Select(sample => new Sample(sample.Value * 1e9 / weightBytes))]);
    }

    private static void Feed(LanguageModel model, DecodeState state, int count)
    {
        using var tape = new Tape(recording: false);
        int[] tokens = [.. Enumerable.Range(0, count).Select(i => (int)((state.Positions[0] + i) * 7919 % model.Config.VocabularySize))];
        Tensor logits = model.Advance(tape, state, tape.Own(Tensor.From(tokens, [1, count])));
        // Drawing a token needs the scores on the host.
        logits.ToArray();
    }
}
