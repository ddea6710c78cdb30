using GatedFwa.Generation;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>What a block needs to know beside its input.</summary>
/// <param name="Layout">Where documents lie.</param>
/// <param name="Dropout">This layer's stream of dropout masks, while training.</param>
/// <param name="FirstPosition">The position of token 0 in its text.</param>
/// <param name="State">This layer's memory of the text so far, when one is continued.</param>
/// <param name="Layer">The number of the block, counted from 0.</param>
/// <param name="Observer">Who looks on, if anybody does.</param>
internal readonly record struct ForwardPass(
    SequenceLayout Layout, CounterRandom? Dropout, long FirstPosition, LayerState? State, int Layer = 0, IForwardObserver? Observer = null)
{
    /// <summary>Drops elements of a branch before it joins the residual stream.</summary>
    public Tensor Drop(Tape tape, Tensor x, float probability, ulong branch) =>
        probability > 0 && Dropout is { } random ? Tensors.Operations.Dropout.Apply(tape, x, probability, random.Split(branch)) : x;
}
