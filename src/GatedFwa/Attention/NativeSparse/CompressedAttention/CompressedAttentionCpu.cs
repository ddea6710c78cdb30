using GatedFwa.Tensors;

namespace GatedFwa.Attention;

internal static class CompressedAttentionCpu
{
    public static void Forward(NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, Tensor o, Tensor lse)
    {
        (double[] output, double[] sums) = CompressedAttentionReference.Forward(
            problem, Interim.Doubles(q), Interim.Doubles(pooledK), Interim.Doubles(pooledV));
        Interim.Store(output, o);
        Interim.Store(sums, lse);
    }

    public static void Backward(
        NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor pooledV, Tensor o, Tensor lse, Tensor dO, QkvGradients gradients)
    {
        (double[] dq, double[] dk, double[] dv) = CompressedAttentionReference.Backward(
            problem, Interim.Doubles(q), Interim.Doubles(pooledK), Interim.Doubles(pooledV), Interim.Doubles(dO));
        Interim.Add(dq, gradients.Dq);
        Interim.Add(dk, gradients.Dk);
        Interim.Add(dv, gradients.Dv);
    }
}

/// <summary>Lets the references stand in for kernels until these are there.</summary>
internal static class Interim
{
    public static double[] Doubles(Tensor tensor) => [.. tensor.ToArray().Select(x => (double)x)];

    public static void Store(double[] values, Tensor tensor) => tensor.CopyFrom([.. values.Select(x => (float)x)]);

    public static void Add(double[] values, GradientTarget target)
    {
        if (target.Cleared().Tensor is { } tensor) Store([.. Doubles(tensor).Zip(values, (x, y) => x + y)], tensor);
    }
}
