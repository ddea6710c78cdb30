using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>(silu(x W_gateᵀ) ∘ x W_valueᵀ) W_outputᵀ.</summary>
internal sealed class FeedForwardLayer(ParameterSet parameters)
{
    private readonly Parameter _gate = parameters["gate.weight"];
    private readonly Parameter _value = parameters["value.weight"];
    private readonly Parameter _output = parameters["output.weight"];

    /// <summary>[B, T, C] → [B, T, C].</summary>
    public Tensor Apply(Tape tape, Tensor x)
    {
        var hidden = new Projections(tape, x, _gate);
        return Linear.Apply(tape, SwiGlu.Apply(tape, hidden.Of(_gate), hidden.Of(_value)), _output);
    }
}
