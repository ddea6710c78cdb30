using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Training.Inspection;

/// <summary>How far back one head looks, in tokens; its own token is 0 back.</summary>
/// <param name="Attention">The distance within which 90% of its attention lies, a mean over positions.</param>
/// <param name="WithoutGate">The same for the same scores without the decay.</param>
/// <param name="HalfLife">The distance at which exp(−Σα) falls to 1/2, a median over positions and interpolated inside a token; ∞
/// where most positions' whole past decays less, and without a gate.</param>
/// <param name="HundredthLife">The same for 1/100.</param>
internal sealed record HeadReach(double Attention, double WithoutGate, double HalfLife, double HundredthLife)
{
    /// <summary>The share of attention that counts as all.</summary>
    public const double Share = 0.9;

    /// <summary>Measures every head of a layer.</summary>
    /// <param name="layer">What the layer attended with.</param>
    public static IReadOnlyList<HeadReach> OfAll(LayerTrace layer)
    {
        var heads = new HeadReach[layer.Config.Heads];
        WorkerPool.Shared.For(heads.Length, head => heads[head] = Of(layer, head));
        return heads;
    }

    /// <summary>Measures a head.</summary>
    /// <param name="layer">What its layer attended with.</param>
    /// <param name="head">The head.</param>
    public static HeadReach Of(LayerTrace layer, int head)
    {
        int[] positions = [.. Enumerable.Range(0, layer.Tokens).Skip(FirstPosition(layer.Config.Window, layer.Tokens))];
        double Mean(bool gated) => positions.Average(query => Within(layer.Attention(head, query, gated)));
        double Median(double kept) => MedianOf(positions.Select(query => DecayedTo(layer, head, query, kept)));

        double attention = Mean(gated: true);
        return layer.Alpha is null
            ? new HeadReach(attention, attention, double.PositiveInfinity, double.PositiveInfinity)
            : new HeadReach(attention, Mean(gated: false), Median(1.0 / 2), Median(1.0 / 100));
    }

    /// <summary>The first position that is measured: before it the window is not full, and a short past would count as a short reach.
    /// Where the window is wider than half the text, the second half.</summary>
    /// <param name="window">The window, or null for none.</param>
    /// <param name="tokens">Tokens of the text.</param>
    public static int FirstPosition(int? window, int tokens) => Math.Min((window ?? tokens) - 1, tokens / 2);

    /// <summary>The least distance within which <see cref="Share"/> of the weights lies.</summary>
    private static int Within(double[] weights)
    {
        double sum = 0;
        for (int key = weights.Length - 1; key > 0; key--)
        {
            sum += weights[key];
            if (sum >= Share) return weights.Length - 1 - key;
        }

        return weights.Length - 1;
    }

    private static double DecayedTo(LayerTrace layer, int head, int query, double kept)
    {
        double wanted = -Math.Log(kept), decay = 0;
        for (int distance = 0; distance < query; distance++)
        {
            // Between a query and the key just before it lies the query's own decay.
            double alpha = layer.Alpha![((query - distance) * layer.Config.Heads) + head];
            if (decay + alpha >= wanted) return distance + ((wanted - decay) / alpha);
            decay += alpha;
        }

        return double.PositiveInfinity;
    }

    private static double MedianOf(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }
}
