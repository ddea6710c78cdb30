using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class SelectedAttentionCpu
{
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices, Tensor o, Tensor lse)
    {
        (double[] output, double[] sums) = SelectedAttentionReference.Forward(
            problem, Interim.Doubles(q), Interim.Doubles(k), Interim.Doubles(v), indices.AsIntegerSpan().ToArray());
        Interim.Store(output, o);
        Interim.Store(sums, lse);
    }

    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor k, Tensor v, Tensor indices, Tensor o, Tensor lse, Tensor dO, QkvGradients gradients)
    {
        (double[] dq, double[] dk, double[] dv) = SelectedAttentionReference.Backward(
            problem, Interim.Doubles(q), Interim.Doubles(k), Interim.Doubles(v), indices.AsIntegerSpan().ToArray(), Interim.Doubles(dO));
        Interim.Add(dq, gradients.Dq);
        Interim.Add(dk, gradients.Dk);
        Interim.Add(dv, gradients.Dv);
    }
}
