namespace GatedFwa.Tensors.Operations;

/// <summary>Dropout in double: the contract that <see cref="Dropout"/> is held to. Its gradient is itself, applied to dy.</summary>
internal static class DropoutReference
{
    public static double[] Forward(double[] x, float probability, CounterRandom random) =>
        [.. x.Select((value, i) => random.Uniform(i) < probability ? 0 : value / (1 - (double)probability))];
}
