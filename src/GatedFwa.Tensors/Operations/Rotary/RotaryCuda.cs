using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class RotaryCuda
{
    private static readonly KernelSource Source = new(typeof(RotaryCuda), "rotary.cu");

    /// <summary>Fills a table as <see cref="RotaryTable"/> lays it out.</summary>
    public static void Fill(Tensor table, int tokens, ReadOnlySpan<long> firstPositions, float frequencyBase)
    {
        double[] frequencies = RotaryTable.Frequencies(table.Shape[1], frequencyBase);
        long frequencyBytes = frequencies.Length * sizeof(double);
        using CudaStorage uploaded = table.Cuda.Memory.Rent(frequencyBytes + (firstPositions.Length * sizeof(long)));
        uploaded.CopyFromHost(MemoryMarshal.AsBytes(frequencies.AsSpan()), 0);
        uploaded.CopyFromHost(MemoryMarshal.AsBytes(firstPositions), frequencyBytes);
        table.Cuda.Kernel(Source, "rotary_table").Launch(
            RowLaunch.Over((long)table.Shape[0] * frequencies.Length),
            uploaded, uploaded.Address + (nint)frequencyBytes, table, table.Shape[0], tokens, frequencies.Length);
    }

    public static void Forward(Tensor x, Tensor table, Tensor y) => Rotate(x, table, 1, y, store: true);

    /// <summary>Turns the gradient back.</summary>
    public static void Backward(Tensor dy, Tensor table, Tensor dx, bool storeDx) => Rotate(dy, table, -1, dx, storeDx);

    private static void Rotate(Tensor x, Tensor table, float direction, Tensor y, bool store)
    {
        (int heads, int size) = (x.Shape[2], x.Shape[3]);
        if (x.Count == 0) return;
        int pack = RowLaunch.PackOf(x.Type, size / 2), rows = x.Shape.Rows;
        x.Cuda.Kernel(Source, "rotary", KernelDefine.Element(x.Type), ("SIZE", size), ("PACK", pack)).Launch(
            RowLaunch.Over((long)rows * (size / 2 / pack)), x, table, y, rows, table.Shape[0], heads, direction, store);
    }
}
