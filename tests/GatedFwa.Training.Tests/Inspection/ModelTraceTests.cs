using GatedFwa.Models;
using GatedFwa.Testing;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Training.Tests.Inspection;

public sealed class ModelTraceTests() : ModelTraceSuite(TestBackend.Cpu);

public sealed class ModelTraceCudaTests() : ModelTraceSuite(TestBackend.CudaFloat32);

/// <summary>What is observed is held to the first layer written out in double: embedding, norm, projections, gate, softmax.</summary>
public abstract class ModelTraceSuite(TestBackend backend) : TensorTest(backend)
{
    private const double Tolerance = 2e-5;

    private static readonly int[] Tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];

    // Without the pieces between projection and attention, so that few lines say what attention is.
    private static readonly ModelConfig Bare = TinyModel.Config with { Window = 5, TokenShift = false, QkNorm = false, Rotary = false };

    [Fact]
    public void Attention_with_and_without_the_gate_is_that_of_the_weights()
    {
        using LanguageModel model = TinyModel.Create(Bare, Backend);
        LayerTrace layer = ModelTrace.Of(model, Tokens).Layers[0];
        double worst = 0, difference = 0;
        for (int head = 0; head < Bare.Heads; head++)
        {
            for (int query = 0; query < Tokens.Length; query++)
            {
                double[] gated = layer.Attention(head, query, gated: true), ungated = layer.Attention(head, query, gated: false);
                worst = Math.Max(worst, WorstDeviation(gated, Expected(model, head, query, gated: true)));
                worst = Math.Max(worst, WorstDeviation(ungated, Expected(model, head, query, gated: false)));
                difference = Math.Max(difference, WorstDeviation(gated, ungated));
            }
        }

        Assert.InRange(worst, 0, Tolerance);
        Assert.InRange(difference, 0.1, 1);
    }

    [Fact]
    public void Every_layer_is_seen_in_order_with_its_shapes()
    {
        using LanguageModel model = TinyModel.Create(TinyModel.Config, Backend);
        IReadOnlyList<LayerTrace> layers = ModelTrace.Of(model, Tokens).Layers;

        Assert.Equal(2, layers.Count);
        Assert.All(layers, layer => Assert.Equal(
            (10, 160, 80, 20), (layer.Tokens, layer.Queries.Length, layer.Keys.Length, layer.Alpha!.Length)));
        Assert.NotEqual(layers[0].Queries, layers[1].Queries);
    }

    [Fact]
    public void Without_a_gate_there_are_no_decays_and_both_attentions_are_one()
    {
        using LanguageModel model = TinyModel.Create(TinyModel.Config with { Gate = false }, Backend);
        LayerTrace layer = ModelTrace.Of(model, Tokens).Layers[1];

        Assert.Null(layer.Alpha);
        Assert.Equal(layer.Attention(1, 7, gated: false), layer.Attention(1, 7, gated: true));
    }

    private static double[] Expected(LanguageModel model, int head, int query, bool gated)
    {
        Dictionary<string, double[]> weights =
            model.Parameters.ToDictionary(parameter => parameter.Name, parameter => Samples.Widen(parameter.Value.ToArray()));
        double[][] x = [.. Tokens.Select(token => Normalised(weights, token))];
        double[] Row(string name, int row) => weights["layers.0.attention." + name][(row * Bare.Width)..((row + 1) * Bare.Width)];
        double Project(double[] features, string name, int row) => features.Zip(Row(name, row), (a, b) => a * b).Sum();
        double Alpha(int token)
        {
            double amplitude = Project(x[token], "gate.amplitude.weight", head), beta = amplitude > 0 ? 1 + amplitude : Math.Exp(amplitude);
            double h = Project(x[token], "gate.weight", head) + weights["layers.0.attention.gate.bias"][head];
            return Math.Log(1 + Math.Exp(-beta * h)) / (beta + 1e-3);
        }

        var expected = new double[query + 1];
        for (int key = Math.Max(0, query - Bare.Window!.Value + 1); key <= query; key++)
        {
            // One key head serves both query heads.
            double dot = Enumerable.Range(0, Bare.HeadSize).Sum(d =>
                Project(x[query], "query.weight", (head * Bare.HeadSize) + d) * Project(x[key], "key.weight", d));
            expected[key] = Math.Exp((dot / Math.Sqrt(Bare.HeadSize)) - (gated ? Enumerable.Range(key + 1, query - key).Sum(Alpha) : 0));
        }

        double sum = expected.Sum();
        return [.. expected.Select(weight => weight / sum)];
    }

    private static double[] Normalised(Dictionary<string, double[]> weights, int token)
    {
        double[] row = weights["embedding.weight"][(token * Bare.Width)..((token + 1) * Bare.Width)];
        double scale = 1 / Math.Sqrt((row.Sum(value => value * value) / row.Length) + Bare.NormEpsilon);
        return [.. row.Select((value, i) => value * scale * weights["layers.0.attention_norm.weight"][i])];
    }

    private static double WorstDeviation(double[] actual, double[] expected)
    {
        Assert.Equal(expected.Length, actual.Length);
        return actual.Zip(expected, (a, b) => Math.Abs(a - b)).Max();
    }
}
