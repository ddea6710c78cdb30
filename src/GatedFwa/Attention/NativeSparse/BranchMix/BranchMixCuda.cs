using System.Numerics;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

internal static class BranchMixCuda
{
    private const int Pack = 8, Warp = 32;

    private static readonly KernelSource Source = new(typeof(BranchMixCuda), "branch_mix.cu");

    public static void Forward(BranchGates gates, Branches branches, Tensor o)
    {
        if (o.Count == 0) return;
        Kernel(o, "branch_mix_forward").Launch(
            RowLaunch.Over(o.Shape.Rows * Lanes(o)),
            gates.Compressed,
            gates.Selected,
            gates.Window,
            branches.Compressed,
            branches.Selected,
            branches.Window,
            o,
            o.Shape.Rows);
    }

    /// <summary>All six gradients in one pass; any may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(BranchGates gates, Branches branches, Tensor dO, BranchGradients dGates, BranchGradients dBranches)
    {
        if (dO.Count == 0) return;
        Kernel(dO, "branch_mix_backward").Launch(
            RowLaunch.Over(dO.Shape.Rows * Lanes(dO)),
            dO,
            gates.Compressed,
            gates.Selected,
            gates.Window,
            branches.Compressed,
            branches.Selected,
            branches.Window,
            dGates.Compressed.Tensor,
            dGates.Selected.Tensor,
            dGates.Window.Tensor,
            dGates.Compressed.IsFresh,
            dGates.Selected.IsFresh,
            dGates.Window.IsFresh,
            dBranches.Compressed.Tensor,
            dBranches.Selected.Tensor,
            dBranches.Window.Tensor,
            dBranches.Compressed.IsFresh,
            dBranches.Selected.IsFresh,
            dBranches.Window.IsFresh,
            dO.Shape.Rows);
    }

    private static CudaKernel Kernel(Tensor x, string function) =>
        x.Cuda.Kernel(Source, function, KernelDefine.Element(x.Type), ("SIZE", x.Shape[^1]), ("LANES", Lanes(x)));

    // A power of two, so that a row's sums stay in a warp.
    private static int Lanes(Tensor x) => Math.Min(Warp, (int)BitOperations.RoundUpToPowerOf2((uint)(x.Shape[^1] / Pack)));
}
