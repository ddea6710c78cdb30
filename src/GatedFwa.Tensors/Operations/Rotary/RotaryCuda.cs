using System.Runtime.InteropServices;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class RotaryCuda
{
    private static readonly KernelSource Source = new(typeof(RotaryCuda), "rotary.cu");

    /// <summary>Cosines and sines [T, D], as <see cref="RotaryTable"/> lays them out: made once a tape, for all layers.</summary>
    public static Tensor Table(Tape tape, CudaDevice device, int tokens, int size, long firstPosition, float frequencyBase)
    {
        return tape.Shared(new TableKey(device, tokens, size, firstPosition, frequencyBase), () =>
        {
            double[] frequencies = RotaryTable.Frequencies(size, frequencyBase);
            int half = frequencies.Length;
            Tensor table = Tensor.Empty([tokens, size], DType.F32, new Device(DeviceKind.Cuda, device.Index));
            using CudaStorage uploaded = device.Memory.Rent(half * sizeof(double));
            uploaded.CopyFromHost(MemoryMarshal.AsBytes(frequencies.AsSpan()), 0);
            device.Kernel(Source, "rotary_table").Launch(RowLaunch.Over((long)tokens * half), uploaded, table, tokens, half, firstPosition);
            return table;
        });
    }

    public static void Forward(Tensor x, Tensor table, Tensor y) => Rotate(x, table, 1, y, store: true);

    /// <summary>Turns the gradient back.</summary>
    public static void Backward(Tensor dy, Tensor table, Tensor dx, bool storeDx) => Rotate(dy, table, -1, dx, storeDx);

    private static void Rotate(Tensor x, Tensor table, float direction, Tensor y, bool store)
    {
        (int tokens, int heads, int size) = (x.Shape[1], x.Shape[2], x.Shape[3]);
        if (x.Count == 0) return;
        int pack = RowLaunch.PackOf(x.Type, size / 2), rows = x.Shape.Rows;
        x.Cuda.Kernel(Source, "rotary", KernelDefine.Element(x.Type), ("SIZE", size), ("PACK", pack)).Launch(
            RowLaunch.Over((long)rows * (size / 2 / pack)), x, table, y, rows, tokens, heads, direction, store);
    }

    private sealed record TableKey(CudaDevice Device, int Tokens, int Size, long FirstPosition, float FrequencyBase);
}
