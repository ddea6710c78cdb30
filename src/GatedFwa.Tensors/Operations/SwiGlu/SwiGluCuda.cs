using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class SwiGluCuda
{
    private static readonly KernelSource Source = new(typeof(SwiGluCuda), "swiglu.cu");

    public static void Forward(Tensor gate, Tensor value, Tensor y) =>
        y.Cuda.Kernel(Source, "swiglu_forward", KernelDefine.Element(y.Type)).Launch(RowLaunch.Packs(y), gate, value, y, y.Count);

    /// <summary>Both gradients in one pass; either may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(Tensor gate, Tensor value, Tensor dy, Tensor? dgate, bool storeDgate, Tensor? dvalue, bool storeDvalue) =>
        dy.Cuda.Kernel(Source, "swiglu_backward", KernelDefine.Element(dy.Type)).Launch(
            RowLaunch.Packs(dy), gate, value, dy, dgate, storeDgate, dvalue, storeDvalue, dy.Count);
}
