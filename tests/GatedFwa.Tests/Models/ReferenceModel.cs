using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Models;

/// <summary>
/// docs/operator.md, "The layer", in plain double loops over one document, without any of the library's operations: what the model is held
/// to, forward and (by differences of it) backward.
/// </summary>
internal sealed class ReferenceModel(LanguageModel model)
{
    private readonly ModelConfig _config = model.Config;

    /// <summary>The parameters, by name; change them to take differences.</summary>
    public Dictionary<string, double[]> Parameters { get; } =
        model.Parameters.ToDictionary(parameter => parameter.Name, parameter => Samples.Widen(parameter.Value.ToArray()));

    /// <summary>[T][V].</summary>
    public double[][] Logits(ReadOnlySpan<int> tokens)
    {
        int width = _config.Width;
        double[] embedding = Parameters["embedding.weight"];
        double[][] x = [.. tokens.ToArray().Select(token => embedding[(token * width)..((token + 1) * width)])];
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            string block = $"layers.{layer}.";
            AddTo(x, Attention(Norm(x, block + "attention_norm.weight"), block + "attention."));
            if (_config.FeedForwardWidth > 0) AddTo(x, FeedForward(Norm(x, block + "feed_forward_norm.weight"), block + "feed_forward."));
        }

        return Project(Norm(x, "norm.weight"), _config.TiedEmbedding ? "embedding.weight" : "head.weight");
    }

    /// <summary>Mean nats over targets that are not negative.</summary>
    public double Loss(ReadOnlySpan<int> tokens, ReadOnlySpan<int> targets)
    {
        double[][] logits = Logits(tokens);
        double sum = 0;
        int count = 0;
        for (int t = 0; t < targets.Length; t++)
        {
            if (targets[t] < 0) continue;
            double highest = logits[t].Max();
            sum += highest + Math.Log(logits[t].Sum(logit => Math.Exp(logit - highest))) - logits[t][targets[t]];
            count++;
        }

        return sum / count;
    }

    private double[][] Attention(double[][] x, string name)
    {
        int heads = _config.Heads, keyHeads = _config.KeyHeads, size = _config.HeadSize;
        double[][] q = Project(x, name + "query.weight"), k = Project(x, name + "key.weight"), v = Project(x, name + "value.weight");
        if (_config.TokenShift) (k, v) = (Shift(x, k, name + "key_shift.weight"), Shift(x, v, name + "value_shift.weight"));
        if (_config.QkNorm) (q, k) = (Norm(q, name + "query_norm.weight"), Norm(k, name + "key_norm.weight"));
        if (_config.Rotary) (q, k) = (Rotate(q), Rotate(k));
        double[][]? alpha = _config.Gate ? Alpha(x, name + "gate.") : null;

        double[][] o = [.. x.Select(_ => new double[heads * size])];
        for (int head = 0; head < heads; head++)
        {
            int keyHead = head * keyHeads / heads;
            for (int i = 0; i < x.Length; i++)
            {
                int first = Math.Max(0, i - (_config.Window ?? x.Length) + 1);
                var weights = new double[x.Length];
                double decay = 0;
                for (int j = i; j >= first; j--)
                {
                    double dot = 0;
                    for (int d = 0; d < size; d++) dot += q[i][(head * size) + d] * k[j][(keyHead * size) + d];
                    weights[j] = Math.Exp((dot / Math.Sqrt(size)) - decay);
                    decay += alpha?[j][head] ?? 0;
                }

                double total = weights.Sum();
                for (int j = first; j <= i; j++)
                {
                    for (int d = 0; d < size; d++) o[i][(head * size) + d] += weights[j] / total * v[j][(keyHead * size) + d];
                }
            }
        }

        return Project(o, name + "output.weight");
    }

    private double[][] Alpha(double[][] x, string name)
    {
        double[][] h = Project(x, name + "weight"), amplitude = Project(x, name + "amplitude.weight");
        return [.. h.Select((row, t) => row.Select((value, head) =>
        {
            double b = amplitude[t][head], beta = b > 0 ? 1 + b : Math.Exp(b);
            return Math.Log(1 + Math.Exp(-beta * (value + Parameters[name + "bias"][head]))) / (beta + 1e-3);
        }).ToArray())];
    }

    private double[][] Shift(double[][] x, double[][] y, string weight)
    {
        int size = _config.HeadSize;
        double[][] mix = Project(x, weight);
        return [.. y.Select((row, t) => row.Select((value, i) =>
        {
            double a = 1 / (1 + Math.Exp(-mix[t][i / size]));
            return (a * value) + (t == 0 ? 0 : (1 - a) * y[t - 1][i]);
        }).ToArray())];
    }

    private double[][] Rotate(double[][] x)
    {
        int size = _config.HeadSize, half = size / 2;
        return [.. x.Select((row, t) => row.Select((value, i) =>
        {
            int d = i % size, pair = d % half;
            double angle = t * Math.Pow(_config.RotaryBase, -2.0 * pair / size);
            double other = d < half ? -row[i + half] : row[i - half];
            return (value * Math.Cos(angle)) + (other * Math.Sin(angle));
        }).ToArray())];
    }

    private double[][] FeedForward(double[][] x, string name)
    {
        double[][] gate = Project(x, name + "gate.weight"), value = Project(x, name + "value.weight");
        return Project(
            [.. gate.Select((row, t) => row.Select((g, i) => g / (1 + Math.Exp(-g)) * value[t][i]).ToArray())],
            name + "output.weight");
    }

    private double[][] Norm(double[][] x, string name)
    {
        double[] weight = Parameters[name];
        return [.. x.Select(row =>
        {
            double scale = 1 / Math.Sqrt((row.Sum(value => value * value) / row.Length) + _config.NormEpsilon);
            return row.Select((value, i) => value * scale * weight[i]).ToArray();
        })];
    }

    /// <summary>x Wᵀ.</summary>
    private double[][] Project(double[][] x, string name)
    {
        double[] weight = Parameters[name];
        int inputs = x[0].Length, outputs = weight.Length / inputs;
        return [.. x.Select(row =>
        {
            var y = new double[outputs];
            for (int n = 0; n < outputs; n++)
            {
                for (int k = 0; k < inputs; k++) y[n] += row[k] * weight[(n * inputs) + k];
            }

            return y;
        })];
    }

    private static void AddTo(double[][] sum, double[][] terms)
    {
        for (int t = 0; t < sum.Length; t++)
        {
            for (int i = 0; i < sum[t].Length; i++) sum[t][i] += terms[t][i];
        }
    }
}
