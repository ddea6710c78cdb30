using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Softmax attention, without a bias, to the tokens of the blocks that a query chose, its future left out.</summary>
internal static class SelectedAttention
{
    /// <summary>Attends.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">Of q's type, [B, S, Hkv, D].</param>
    /// <param name="v">Of q's type, [B, S, Hkv, D].</param>
    /// <param name="indices">I32 [B, Hkv, T, n] of <see cref="BlockSelection"/>: every query's own block is among its choice.</param>
    /// <returns>Of q's type, [B, T, H, D]; 0 in padding.</returns>
    public static Tensor Apply(Tape tape, NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices)
    {
        Tensor o = tape.Allocate(q.Shape, q.Type, q.Device), lse = tape.Allocate(problem.LseShape, DType.F32, q.Device);
        if (q.Device.IsCpu) SelectedAttentionCpu.Forward(problem, q, k, v, indices, o, lse);
        else SelectedAttentionCuda.Forward(problem, q, k, v, indices, o, lse);
        if (tape.NeedsGradient(q, k, v))
        {
            tape.Record(nameof(SelectedAttention), o, dO =>
            {
                QkvGradients gradients = QkvGradients.Of(tape, q, k, v);
                if (q.Device.IsCpu) SelectedAttentionCpu.Backward(problem, q, k, v, indices, o, lse, dO, gradients);
                else SelectedAttentionCuda.Backward(problem, q, k, v, indices, o, lse, dO, gradients);
            });
        }

        return o;
    }
}
