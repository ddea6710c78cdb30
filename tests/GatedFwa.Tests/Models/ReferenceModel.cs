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
        double[][] q = Project(x, name + "query.weight"), k = Project(x, name + "key.weight"), v = Project(x, name + "value.weight");
        if (_config.TokenShift) (k, v) = (Shift(x, k, name + "key_shift.weight"), Shift(x, v, name + "value_shift.weight"));
        if (_config.QkNorm) (q, k) = (Norm(q, name + "query_norm.weight"), Norm(k, name + "key_norm.weight"));
        if (_config.Rotary) (q, k) = (Rotate(q), Rotate(k));
        double[][]? alpha = _config.Gate ? Alpha(x, name + "gate.") : null;

        double[][] o = Attend(q, k, v, alpha, (i, _) => Range(Math.Max(0, i - (_config.Window ?? x.Length) + 1), i + 1));
        if (_config.NativeSparse is { } sparse) o = LookBack(x, q, k, v, o, sparse, name + "branch_gate.");
        return Project(o, name + "output.weight");
    }

    /// <summary>Each query's softmax over the keys that it sees in a key head; where it sees none, 0.</summary>
    private double[][] Attend(double[][] q, double[][] k, double[][] v, double[][]? alpha, Func<int, int, IEnumerable<int>> visible)
    {
        int size = _config.HeadSize;
        return [.. q.Select((_, i) =>
        {
            var o = new double[q[i].Length];
            for (int head = 0; head < _config.Heads; head++)
            {
                int keyHead = head * _config.KeyHeads / _config.Heads;
                int[] keys = [.. visible(i, keyHead)];
                double Decay(int j) => alpha is null ? 0 : Range(j + 1, i + 1).Sum(s => alpha[s][head]);
                double[] weights = [.. keys.Select(j => Math.Exp(Score(q[i], k[j], head) - Decay(j)))];
                double total = weights.Sum();
                for (int n = 0; n < keys.Length; n++)
                {
                    for (int d = 0; d < size; d++) o[(head * size) + d] += weights[n] / total * v[keys[n]][(keyHead * size) + d];
                }
            }

            return o;
        })];
    }

    /// <summary>The three branches of native sparse attention, weighed.</summary>
    private double[][] LookBack(
        double[][] x, double[][] q, double[][] k, double[][] v, double[][] window, NativeSparseConfig sparse, string gate)
    {
        int length = sparse.BlockSize, heads = _config.Heads;
        double[][] Means(double[][] y) => [.. Range(0, y.Length / length).Select(block =>
            y[0].Select((_, i) => Range(block * length, (block + 1) * length).Average(t => y[t][i])).ToArray())];
        double[][] pooledK = Means(k), pooledV = Means(v), logits = Project(x, gate + "weight");
        double[][][] branches =
        [
            Attend(q, pooledK, pooledV, null, (t, _) => Range(0, (t + 1) / length)),
            Attend(q, k, v, null, (t, keyHead) =>
                Chosen(q[t], pooledK, t, keyHead, sparse).SelectMany(block => Range(block * length, Math.Min(t + 1, (block + 1) * length)))),
            window,
        ];
        double Gate(int t, int column) => 1 / (1 + Math.Exp(-logits[t][column] - Parameters[gate + "bias"][column]));
        return [.. x.Select((_, t) => window[t].Select((_, i) =>
            branches.Select((branch, b) => Gate(t, (b * heads) + (i / _config.HeadSize)) * branch[t][i]).Sum()).ToArray())];
    }

    private IEnumerable<int> Chosen(double[] q, double[][] pooledK, int t, int keyHead, NativeSparseConfig sparse)
    {
        int own = t / sparse.BlockSize;
        var importance = new double[own + 1];
        for (int head = 0; head < _config.Heads; head++)
        {
            if (head * _config.KeyHeads / _config.Heads != keyHead) continue;
            double[] weights = [.. Range(0, (t + 1) / sparse.BlockSize).Select(block => Math.Exp(Score(q, pooledK[block], head)))];
            for (int block = 0; block < own; block++) importance[block] += weights[block] / weights.Sum();
        }

        int[] forced = [own, own - 1, 0];
        IEnumerable<int> best = Range(0, own).OrderByDescending(block => importance[block]);
        return forced.Concat(best).Where(block => block >= 0).Distinct().Take(sparse.BlockCount).ToArray();
    }

    private double Score(double[] q, double[] k, int head)
    {
        int size = _config.HeadSize, keyHead = head * _config.KeyHeads / _config.Heads;
        double dot = 0;
        for (int d = 0; d < size; d++) dot += q[(head * size) + d] * k[(keyHead * size) + d];
        return dot / Math.Sqrt(size);
    }

    /// <summary>first ≤ i &lt; end.</summary>
    private static IEnumerable<int> Range(int first, int end) => Enumerable.Range(first, end - first);

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
