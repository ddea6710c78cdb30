using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Layers;

/// <summary>x + attention(norm(x)), then, unless its width is 0, x + feedForward(norm(x)).</summary>
internal sealed class TransformerBlock(ModelConfig config, ParameterSet parameters)
{
    private readonly Parameter _attentionNorm = parameters["attention_norm.weight"];
    private readonly AttentionLayer _attention = new(config, parameters.In("attention"));
    private readonly Parameter? _feedForwardNorm = config.FeedForwardWidth > 0 ? parameters["feed_forward_norm.weight"] : null;
    private readonly FeedForwardLayer? _feedForward = config.FeedForwardWidth > 0 ? new(parameters.In("feed_forward")) : null;

    /// <summary>The stream after this block, whose last branch is still to be added.</summary>
    public ResidualStream Apply(Tape tape, ResidualStream stream, ForwardPass pass)
    {
        Tensor attended = _attention.Apply(tape, stream.Norm(tape, _attentionNorm, config.NormEpsilon, out Tensor x), pass);
        stream = new(x, pass.Drop(tape, attended, config.Dropout, 0));
        if (_feedForward is null) return stream;
        Tensor fed = _feedForward.Apply(tape, stream.Norm(tape, _feedForwardNorm!, config.NormEpsilon, out x));
        return new(x, pass.Drop(tape, fed, config.Dropout, 1));
    }
}
