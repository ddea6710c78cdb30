using GatedFwa.Models;

namespace GatedFwa.Training.Inspection;

/// <summary>What one layer attended with on one text: what its operator was given, on the host.</summary>
/// <param name="Config">The model.</param>
/// <param name="Tokens">Tokens of the text, T.</param>
/// <param name="Queries">[T, H, D].</param>
/// <param name="Keys">[T, Hkv, D].</param>
/// <param name="Alpha">[T, H]: the decay of each token, or null where the layer has no gate.</param>
internal sealed record LayerTrace(ModelConfig Config, int Tokens, float[] Queries, float[] Keys, float[]? Alpha)
{
    /// <summary>What scores are multiplied with.</summary>
    public double Scale => 1 / Math.Sqrt(Config.HeadSize);

    /// <summary>The attention of one query, in double: softmax of scale · q·k, plus the decay's bias where it is asked for.</summary>
    /// <param name="head">The query head.</param>
    /// <param name="query">The token that attends, i.</param>
    /// <param name="gated">Whether scores carry the decay; without a gate they never do.</param>
    /// <returns>The weight of each key 0 … i; 0 where the window does not reach.</returns>
    public double[] Attention(int head, int query, bool gated)
    {
        var weights = new double[query + 1];
        int first = Math.Max(0, query - (Config.Window ?? Tokens) + 1);
        double decay = 0, highest = double.NegativeInfinity;
        for (int key = query; key >= first; key--)
        {
            weights[key] = (Scale * Dot(head, query, key)) - decay;
            highest = Math.Max(highest, weights[key]);
            if (gated && Alpha is not null) decay += Alpha[(key * Config.Heads) + head];
        }

        double sum = 0;
        for (int key = first; key <= query; key++) sum += weights[key] = Math.Exp(weights[key] - highest);
        for (int key = first; key <= query; key++) weights[key] /= sum;
        return weights;
    }

    private double Dot(int head, int query, int key)
    {
        int size = Config.HeadSize, keyHead = head * Config.KeyHeads / Config.Heads;
        ReadOnlySpan<float> q = Queries.AsSpan(((query * Config.Heads) + head) * size, size);
        ReadOnlySpan<float> k = Keys.AsSpan(((key * Config.KeyHeads) + keyHead) * size, size);
        double dot = 0;
        for (int d = 0; d < size; d++) dot += (double)q[d] * k[d];
        return dot;
    }
}
