using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>The mean of each complete block of a document's keys or values.</summary>
internal static class BlockPooling
{
    /// <summary>Pools.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="problem">Where blocks lie.</param>
    /// <param name="x">[B, S, Hkv, D].</param>
    /// <returns>Of x's type, [B, C, Hkv, D]; rows that belong to no block are 0.</returns>
    public static Tensor Apply(Tape tape, NativeSparseProblem problem, Tensor x)
    {
        Tensor pooled = tape.Allocate(problem.PooledShape, x.Type, x.Device);
        Pool(problem, x, pooled);
        if (tape.NeedsGradient(x))
        {
            tape.Record(nameof(BlockPooling), pooled, dPooled =>
            {
                GradientTarget dx = GradientTarget.Of(tape, x);
                if (x.Device.IsCpu) BlockPoolingCpu.Backward(problem, dPooled, dx);
                else BlockPoolingCuda.Backward(problem, dPooled, dx);
            });
        }

        return pooled;
    }

    /// <summary>Pools what has come to a text since the last time, off the tape.</summary>
    /// <param name="problem">Where blocks lie.</param>
    /// <param name="x">[B, ≥ S, Hkv, D].</param>
    /// <param name="pooled">Of x's type, [B, ≥ C, Hkv, D]: receives the means of each document's blocks from the first on; rows that
    /// belong to no block become 0 where all blocks are asked for.</param>
    /// <param name="firstBlock">The first block that is not pooled yet.</param>
    public static void Pool(NativeSparseProblem problem, Tensor x, Tensor pooled, int firstBlock = 0)
    {
        if (x.Device.IsCpu) BlockPoolingCpu.Forward(problem, x, pooled, firstBlock);
        else BlockPoolingCuda.Forward(problem, x, pooled, firstBlock);
    }
}
