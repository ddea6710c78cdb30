using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>o = g_cmp ∘ o_cmp + g_slc ∘ o_slc + g_win ∘ o_win.</summary>
internal static class BranchMix
{
    /// <summary>Mixes.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="gates">F32 [B, T, H] each.</param>
    /// <param name="compressed">Activations [B, T, H, D].</param>
    /// <param name="selected">Of the same type and shape.</param>
    /// <param name="window">Of the same type and shape.</param>
    /// <returns>Of the same type and shape.</returns>
    public static Tensor Apply(Tape tape, BranchGates gates, Tensor compressed, Tensor selected, Tensor window)
    {
        var branches = new Branches(compressed, selected, window);
        Tensor o = tape.Allocate(compressed.Shape, compressed.Type, compressed.Device);
        if (o.Device.IsCpu) BranchMixCpu.Forward(gates, branches, o);
        else BranchMixCuda.Forward(gates, branches, o);
        if (tape.NeedsGradient(gates.Compressed, gates.Selected, gates.Window, compressed, selected, window))
        {
            tape.Record(nameof(BranchMix), o, dO =>
            {
                var gateGradients = new BranchGradients(
                    GradientTarget.Of(tape, gates.Compressed),
                    GradientTarget.Of(tape, gates.Selected),
                    GradientTarget.Of(tape, gates.Window));
                var branchGradients = new BranchGradients(
                    GradientTarget.Of(tape, compressed), GradientTarget.Of(tape, selected), GradientTarget.Of(tape, window));
                if (o.Device.IsCpu) BranchMixCpu.Backward(gates, branches, dO, gateGradients, branchGradients);
                else BranchMixCuda.Backward(gates, branches, dO, gateGradients, branchGradients);
            });
        }

        return o;
    }
}

/// <summary>The results of the three branches, activations [B, T, H, D].</summary>
internal readonly record struct Branches(Tensor Compressed, Tensor Selected, Tensor Window);

/// <summary>Where the gradients of the three branches, or of their gates, go.</summary>
internal readonly record struct BranchGradients(GradientTarget Compressed, GradientTarget Selected, GradientTarget Window);
