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
    public Tensor Apply(Tape tape, Tensor x) =>
        Linear.Apply(tape, SwiGlu.Apply(tape, Linear.Apply(tape, x, _gate), Linear.Apply(tape, x, _value)), _output);
}
