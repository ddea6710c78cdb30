using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class ReduceCuda
{
    private const int MostParts = 1024, LeastElementsPerPart = 16 * 1024;

    private static readonly KernelSource Source = new(typeof(ReduceCuda), "reduce.cu");

    /// <summary>y = factor · Σ x.</summary>
    public static void Sum(Tensor x, double factor, Tensor y)
    {
        CudaDevice device = x.Cuda;
        KernelDefine element = KernelDefine.Element(x.Type);
        long part = Math.Max(RowLaunch.Quotient(x.Count, MostParts), LeastElementsPerPart);
        part = RowLaunch.Quotient(part, RowLaunch.Threads) * RowLaunch.Threads; // Parts begin on 16 bytes.
        int parts = (int)RowLaunch.Quotient(x.Count, part);
        using CudaStorage sums = device.Memory.Rent(Math.Max(1, parts) * sizeof(double));
        device.Kernel(Source, "reduce_parts", element).Launch(new LaunchShape(parts, RowLaunch.Threads), x, sums, x.Count, part);
        device.Kernel(Source, "reduce_total", element).Launch(new LaunchShape(1, RowLaunch.Threads), sums, parts, Double(factor), y);
    }

    /// <summary>Stores or adds factor · dy everywhere.</summary>
    public static void Spread(Tensor dy, double factor, Tensor dx, bool storeDx) =>
        dx.Cuda.Kernel(Source, "reduce_spread", KernelDefine.Element(dx.Type)).Launch(
            RowLaunch.Packs(dx), dy, Double(factor), dx, dx.Count, storeDx);

    private static KernelArgument Double(double value) => BitConverter.DoubleToUInt64Bits(value);
}
