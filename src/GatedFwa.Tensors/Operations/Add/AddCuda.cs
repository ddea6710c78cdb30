using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class AddCuda
{
    private static readonly KernelSource Source = new(typeof(AddCuda), "add.cu");

    public static void Forward(Tensor a, Tensor b, Tensor y) =>
        y.Cuda.Kernel(Source, "add_forward", KernelDefine.Element(y.Type)).Launch(
            RowLaunch.Packs(y) with { Overlaps = true }, a, b, y, y.Count);

    /// <summary>sum += term.</summary>
    public static void Accumulate(Tensor term, Tensor sum) => Forward(sum, term, sum);
}
