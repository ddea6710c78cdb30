using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>One token after the other from the model of 124 million parameters: bounded by reading weights and rings.</summary>
internal sealed class GpuDecodeBench : IGpuBenchmark
{
    private const int SampleCount = 8;
    private const int FirstPosition = 1000;
    private const long FarPosition = 1_000_000;

    private static readonly int[] Batches = [1, 64];

    public string Name => "decode";

    public string Explanation =>
        $"Generating with the preset small and {GpuModel.Vocabulary:N0} tokens in bfloat16, its window full, scores left on the GPU. Every weight and every ring is read once a step: " +
        "the limit is the time that copying as many bytes takes, measured before and after a row's samples. Token 1,000,000 is a position, not that many steps.";

    public IEnumerable<Row> Measure(GpuClock gpu)
    {
        using LanguageModel model = GpuModel.New(gpu);
        foreach (int batch in Batches)
        {
            using DecodeState state = model.NewState(batch);
            Feed(model, state, FirstPosition);
            // The embedding is read as the output projection; the rows looked up in it are nothing beside it.
            double bytes = (model.ParameterCount * (double)model.Activations.Bytes()) + state.Bytes;
            foreach (long position in (long[])[FirstPosition, FarPosition])
            {
                if (state.Positions[0] < position) state.MoveOn(position - state.Positions[0]);
                Sample[] samples = gpu.Take(
                    SampleCount, () => bytes / gpu.CopyGigabytesPerSecond() / 1e6, () => Feed(model, state, 1), milliseconds => milliseconds);
                string what = $"batch {batch}, token {position:N0}";
                yield return new Row(what, 0, "ms/step", samples) { LessIsBetter = true };
                yield return new Row(what, 0, "tok/s", [.. samples.Select(sample => new Sample(batch * 1e3 / sample.Value))]);
            }
        }
    }

    private static void Feed(LanguageModel model, DecodeState state, int count)
    {
        using var tape = new Tape(recording: false);
        int[] tokens = GpuModel.Tokens(state.Batch * count, state.Positions[0]);
        model.Advance(tape, state, tape.Own(Tensor.From(tokens, [state.Batch, count])));
    }
}
