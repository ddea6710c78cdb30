using System.Runtime.CompilerServices;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Training.Optimizers;

internal static class AdamWCuda
{
    private const int Threads = 256, JudgeThreads = 1024;

    private static readonly KernelSource Source = new(typeof(AdamWCuda), "adam_w.cu");

    /// <summary>Bytes of a <see cref="StepVerdict"/>.</summary>
    public static int VerdictBytes => Unsafe.SizeOf<StepVerdict>();

    /// <summary>Keeps the loss of one of several batches for <see cref="Judge"/>.</summary>
    public static void KeepLoss(Tensor loss, Tensor losses, int part) =>
        loss.Cuda.Kernel(Source, "keep_loss").Launch(new LaunchShape(1, 1), loss, losses, part);

    /// <summary>Decides about a step from all its gradients and losses.</summary>
    /// <param name="table">The parameters.</param>
    /// <param name="losses">F32: the loss of each batch; none for the norm alone.</param>
    /// <param name="clipNorm">The largest norm; 0 means no limit.</param>
    /// <param name="unscale">1 / the scale of the loss that the gradients are of.</param>
    /// <param name="verdict">Receives a <see cref="StepVerdict"/>.</param>
    public static void Judge(ParameterTable table, Tensor? losses, float clipNorm, float unscale, CudaStorage verdict)
    {
        using CudaStorage sums = table.Device.Memory.Rent((long)table.Blocks * sizeof(double));
        table.Device.Kernel(Source, "gradient_squares").Launch(new LaunchShape(table.Blocks, Threads), table.Current(), table.Count, sums);
        table.Device.Kernel(Source, "judge").Launch(
            new LaunchShape(1, JudgeThreads), sums, table.Blocks, losses, (int)(losses?.Count ?? 0), clipNorm, unscale, verdict);
    }

    /// <summary>Updates values, moments and copies.</summary>
    /// <param name="table">The parameters.</param>
    /// <param name="step">The constants for parameters that decay.</param>
    /// <param name="verdict">What <see cref="Judge"/> has decided, which then also gives the scale; none to take the step's.</param>
    public static void Step(ParameterTable table, AdamWStep step, CudaStorage? verdict)
    {
        CudaStorage current = table.Current();
        table.Device.Kernel(Source, "adam_w", ("COPY", KernelDefine.Element(table.CopyType).Value)).Launch(
            new LaunchShape(table.Blocks, Threads),
            current,
            table.Count,
            verdict,
            step.GradientScale,
            step.MeanDecay,
            step.SquareDecay,
            step.Keep,
            step.StepSize,
            step.RootCorrection,
            step.Epsilon);
    }
}
