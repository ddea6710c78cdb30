using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class SigmoidCuda
{
    private static readonly KernelSource Source = new(typeof(SigmoidCuda), "sigmoid.cu");

    public static void Forward(Tensor x, ColumnRun run, Tensor y)
    {
        if (y.Count == 0) return;
        y.Cuda.Kernel(Source, "sigmoid_forward").Launch(RowLaunch.Over(y.Count), x, y, run.First, run.Count, run.Width, y.Count);
    }

    /// <summary>dx += dy · y (1 − y).</summary>
    public static void Backward(Tensor y, Tensor dy, ColumnRun run, Tensor dx)
    {
        if (y.Count == 0) return;
        y.Cuda.Kernel(Source, "sigmoid_backward").Launch(RowLaunch.Over(y.Count), y, dy, dx, run.First, run.Count, run.Width, y.Count);
    }
}
