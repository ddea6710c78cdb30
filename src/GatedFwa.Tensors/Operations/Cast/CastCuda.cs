using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class CastCuda
{
    private const int Threads = 256, ElementsPerThread = 8;

    private static readonly KernelSource Source = new(typeof(CastCuda), "cast.cu");

    public static void Apply(Tensor source, Tensor target)
    {
        CudaKernel kernel = source.Cuda.Kernel(
            Source, "cast", ("SOURCE", KernelDefine.Element(source.Type).Value), ("TARGET", KernelDefine.Element(target.Type).Value));
        int blocks = (int)((source.Count + (Threads * ElementsPerThread) - 1) / (Threads * ElementsPerThread));
        kernel.Launch(new LaunchShape(blocks, Threads), source, target, source.Count);
    }
}
