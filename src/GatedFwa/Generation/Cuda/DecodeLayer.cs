using GatedFwa.Models;
using GatedFwa.Tensors;

namespace GatedFwa.Generation;

/// <summary>A layer's parameters as <see cref="DecodeStep"/> reads them.</summary>
internal sealed class DecodeLayer
{
    public DecodeLayer(ModelConfig config, ParameterSet parameters)
    {
        ParameterSet attention = parameters.In("attention"), feedForward = parameters.In("feed_forward");
        AttentionNorm = parameters["attention_norm.weight"];
        FeedForwardNorm = parameters["feed_forward_norm.weight"];
        string[] shifts = config.TokenShift ? ["key_shift", "value_shift"] : [];
        Projections = [.. ((string[])["query", "key", "value", .. shifts]).Select(name => attention[name + ".weight"].Value)];
        if (config.QkNorm) (QueryNorm, KeyNorm) = (attention["query_norm.weight"], attention["key_norm.weight"]);
        if (config.Gate)
        {
            Decay = (attention["gate.weight"], attention["gate.amplitude.weight"]);
            GateBias = attention["gate.bias"];
        }

        Output = attention["output.weight"];
        FeedForwardGate = feedForward["gate.weight"];
        FeedForwardValue = feedForward["value.weight"];
        FeedForwardOutput = feedForward["output.weight"];
        ProjectedWidth = Projections.Sum(weight => weight.Shape[0]) + (config.Gate ? 2 * config.Heads : 0);
    }

    public Parameter AttentionNorm { get; }

    /// <summary>Query, key, value and, where keys and values are shifted, their mixes: all of one x.</summary>
    public Tensor[] Projections { get; }

    /// <summary>The decay's two weights, which are read as they are, in float32.</summary>
    public (Tensor Gate, Tensor Amplitude)? Decay { get; }

    /// <summary>Columns of all projections and the decay's.</summary>
    public int ProjectedWidth { get; }

    public Parameter? QueryNorm { get; }

    public Parameter? KeyNorm { get; }

    public Parameter? GateBias { get; }

    public Parameter Output { get; }

    public Parameter FeedForwardNorm { get; }

    public Parameter FeedForwardGate { get; }

    public Parameter FeedForwardValue { get; }

    public Parameter FeedForwardOutput { get; }
}
