using GatedFwa.Generation;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>What a block needs to know beside its input.</summary>
/// <param name="Layout">Where documents lie.</param>
/// <param name="Dropout">This layer's stream of dropout masks, while training.</param>
/// <param name="FirstPositions">The position of token 0 in its text: one for all rows, or one a row.</param>
/// <param name="State">This layer's memory of the texts so far, when some are continued.</param>
/// <param name="Layer">The number of the block, counted from 0.</param>
/// <param name="Observer">Who looks on, if anybody does.</param>
/// <param name="Idle">Continued texts whose token does not count; none unless given.</param>
internal readonly record struct ForwardPass(
    SequenceLayout Layout,
    CounterRandom? Dropout,
    ReadOnlyMemory<long> FirstPositions,
    LayerState? State,
    int Layer = 0,
    IForwardObserver? Observer = null,
    bool[]? Idle = null)
{
    /// <summary>The first positions of texts that begin here.</summary>
    public static ReadOnlyMemory<long> Beginning { get; } = new long[1];

    /// <summary>Drops elements of a branch before it joins the residual stream.</summary>
    public Tensor Drop(Tape tape, Tensor x, float probability, ulong branch) =>
        probability > 0 && Dropout is { } random ? Tensors.Operations.Dropout.Apply(tape, x, probability, random.Split(branch)) : x;
}
