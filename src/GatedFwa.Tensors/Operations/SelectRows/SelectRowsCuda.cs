using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class SelectRowsCuda
{
    private static readonly KernelSource Source = new(typeof(SelectRowsCuda), "select_rows.cu");

    public static void Forward(Tensor x, Tensor rows, Tensor y) => Launch("select_rows_forward", rows, x, y);

    /// <summary>dx[rows_i] += dy_i.</summary>
    public static void Backward(Tensor rows, Tensor dy, Tensor dx) => Launch("select_rows_backward", rows, dy, dx);

    private static void Launch(string kernel, Tensor rows, Tensor source, Tensor target)
    {
        int count = rows.Shape[0], width = source.Shape[^1], pack = RowLaunch.PackOf(source.Type, width);
        if (count == 0 || width == 0) return;
        source.Cuda.Kernel(Source, kernel, KernelDefine.Element(source.Type), ("WIDTH", width), ("PACK", pack)).Launch(
            RowLaunch.Over((long)count * (width / pack)), rows, source, target, count);
    }
}
