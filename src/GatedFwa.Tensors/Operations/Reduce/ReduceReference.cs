namespace GatedFwa.Tensors.Operations;

/// <summary>Sum and mean in double: the contract that <see cref="Reduce"/> is held to.</summary>
internal static class ReduceReference
{
    public static double Sum(double[] x) => x.Sum();

    public static double Mean(double[] x) => x.Sum() / x.Length;

    public static double[] SumBackward(double[] x, double dy) => [.. x.Select(_ => dy)];

    public static double[] MeanBackward(double[] x, double dy) => [.. x.Select(_ => dy / x.Length)];
}
