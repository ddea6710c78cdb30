using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class BlockSelectionCpu
{
    public static void Select(NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor lse, Tensor indices) =>
        indices.CopyFrom(BlockSelectionReference.Select(problem, Interim.Doubles(q), Interim.Doubles(pooledK), Interim.Doubles(lse)));
}
