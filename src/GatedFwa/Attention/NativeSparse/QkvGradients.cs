using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Where the gradients of an attention without a decay go.</summary>
/// <param name="Dq">[B, T, H, D].</param>
/// <param name="Dk">Of the keys' shape.</param>
/// <param name="Dv">Of the values' shape.</param>
internal readonly record struct QkvGradients(GradientTarget Dq, GradientTarget Dk, GradientTarget Dv)
{
    /// <summary>The accumulators of the inputs.</summary>
    public static QkvGradients Of(Tape tape, Tensor q, Tensor k, Tensor v) =>
        new(GradientTarget.Of(tape, q), GradientTarget.Of(tape, k), GradientTarget.Of(tape, v));

    /// <summary>The same, ready to add to.</summary>
    public QkvGradients Cleared() => new(Dq.Cleared(), Dk.Cleared(), Dv.Cleared());
}
