using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class DropoutCuda
{
    private static readonly KernelSource Source = new(typeof(DropoutCuda), "dropout.cu");

    public static void Forward(Tensor x, float probability, CounterRandom random, Tensor y) =>
        Launch(x, probability, random, y, store: true);

    public static void Backward(Tensor dy, float probability, CounterRandom random, Tensor dx, bool storeDx) =>
        Launch(dy, probability, random, dx, storeDx);

    private static void Launch(Tensor x, float probability, CounterRandom random, Tensor y, bool store) =>
        y.Cuda.Kernel(Source, "dropout", KernelDefine.Element(y.Type)).Launch(
            RowLaunch.Packs(y), x, y, y.Count, probability, (float)(1 / (1 - (double)probability)), random.Key, store);
}
