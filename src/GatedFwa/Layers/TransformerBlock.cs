using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>x + attention(norm(x)), then, unless its width is 0, x + feedForward(norm(x)).</summary>
internal sealed class TransformerBlock(ModelConfig config, ParameterSet parameters)
{
    private readonly Parameter _attentionNorm = parameters["attention_norm.weight"];
    private readonly AttentionLayer _attention = new(config, parameters.In("attention"));
    private readonly Parameter? _feedForwardNorm = config.FeedForwardWidth > 0 ? parameters["feed_forward_norm.weight"] : null;
    private readonly FeedForwardLayer? _feedForward = config.FeedForwardWidth > 0 ? new(parameters.In("feed_forward")) : null;

    /// <summary>[B, T, C] → [B, T, C].</summary>
    public Tensor Apply(Tape tape, Tensor x, ForwardPass pass)
    {
        Tensor attended = _attention.Apply(tape, RmsNorm.Apply(tape, x, _attentionNorm, config.NormEpsilon), pass);
        attended = pass.Drop(tape, attended, config.Dropout, 0);
        if (_feedForward is null) return Add.Apply(tape, x, attended);
        Tensor normalised = RmsNorm.ApplyToSum(tape, x, attended, _feedForwardNorm!, out x, config.NormEpsilon);
        Tensor fed = _feedForward.Apply(tape, normalised);
        return Add.Apply(tape, x, pass.Drop(tape, fed, config.Dropout, 1));
    }
}
