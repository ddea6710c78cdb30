using System.Runtime.InteropServices;

namespace GatedFwa.Training.Optimizers;

/// <summary>What came of a step; on a GPU judged there, and as adam_w.cu lays it out.</summary>
/// <param name="Loss">Mean nats a token.</param>
/// <param name="Norm">The norm of the gradients before clipping.</param>
/// <param name="GradientScale">What they were multiplied with.</param>
/// <param name="Taken">1, or 0 where loss or norm is no finite number: then nothing has changed.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct StepVerdict(double Loss, double Norm, float GradientScale, int Taken)
{
    /// <summary>Whether the step was taken.</summary>
    public bool IsTaken => Taken != 0;
}
