using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Layers;

/// <summary>
/// Sees what a forward pass makes on its way: for tools that look into a model. A pass without one costs a null check a layer.
/// </summary>
internal interface IForwardObserver
{
    /// <summary>Sees the embedded tokens before the first layer.</summary>
    /// <param name="tape">The pass's tape; it can be asked to watch <paramref name="x"/>.</param>
    /// <param name="x">[B, T, C].</param>
    void Embedded(Tape tape, Tensor x);

    /// <summary>Sees what a layer attends with, just as the operator gets it. The tensors may be gone after the call.</summary>
    /// <param name="layer">The layer, counted from 0.</param>
    /// <param name="q">[B, T, H, D], normalised and rotated.</param>
    /// <param name="k">[B, T, Hkv, D], shifted, normalised and rotated.</param>
    /// <param name="alpha">[B, T, H], or null where the layer has no gate.</param>
    void Attends(int layer, Tensor q, Tensor k, Tensor? alpha);
}
