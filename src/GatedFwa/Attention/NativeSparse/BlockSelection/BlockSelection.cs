using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>
/// The blocks that each query attends to token by token, one choice for all heads that share a key head: its own block, the one
/// before and the document's first, in this order, then those to whose means the heads paid most attention. No gradient flows
/// through the choice.
/// </summary>
internal static class BlockSelection
{
    /// <summary>Chooses.</summary>
    /// <param name="tape">Owns the result.</param>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="pooledK">Of q's type, [B, C, Hkv, D].</param>
    /// <param name="lse">F32 [B, H, T]: of the compressed attention.</param>
    /// <returns>I32 [B, Hkv, T, n]: block numbers within the document, ascending; −1 where there are no more, and in padding.</returns>
    public static Tensor Apply(Tape tape, NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor lse)
    {
        Tensor indices = tape.Allocate(problem.IndicesShape, DType.I32, q.Device);
        if (q.Device.IsCpu) BlockSelectionCpu.Select(problem, q, pooledK, lse, indices);
        else BlockSelectionCuda.Select(problem, q, pooledK, lse, indices);
        return indices;
    }
}
