using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Softmax attention, without a bias, to the means of all blocks that are complete when the query comes.</summary>
internal static class CompressedAttention
{
    /// <summary>Attends.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="pooledK">Of q's type, [B, C, Hkv, D].</param>
    /// <param name="pooledV">Of q's type, [B, C, Hkv, D].</param>
    /// <param name="lse">F32 [B, H, T], on the tape: the logarithm of each query's sum of exponentials; −∞ before the first complete
    /// block.</param>
    /// <returns>Of q's type, [B, T, H, D]; 0 before the first complete block.</returns>
    public static Tensor Apply(Tape tape, NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, out Tensor lse)
    {
        Tensor o = tape.Allocate(q.Shape, q.Type, q.Device), sums = tape.Allocate(problem.LseShape, DType.F32, q.Device);
        lse = sums;
        if (q.Device.IsCpu) CompressedAttentionCpu.Forward(problem, q, pooledK, pooledV, o, sums);
        else CompressedAttentionCuda.Forward(problem, q, pooledK, pooledV, o, sums);
        if (tape.NeedsGradient(q, pooledK, pooledV))
        {
            tape.Record(nameof(CompressedAttention), o, dO =>
            {
                QkvGradients gradients = QkvGradients.Of(tape, q, pooledK, pooledV);
                if (q.Device.IsCpu) CompressedAttentionCpu.Backward(problem, q, pooledK, pooledV, o, sums, dO, gradients);
                else CompressedAttentionCuda.Backward(problem, q, pooledK, pooledV, o, sums, dO, gradients);
            });
        }

        return o;
    }
}
