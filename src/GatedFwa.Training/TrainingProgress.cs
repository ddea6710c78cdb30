namespace GatedFwa.Training;

/// <summary>Where a run stands after a step.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="Loss">The step's mean loss in nats a target.</param>
/// <param name="LearningRate">The step's learning rate.</param>
/// <param name="GradientNorm">The norm of the step's gradients before clipping; not finite where float16 overflowed and the step
/// changed nothing.</param>
/// <param name="Validation">The latest measurement on what is held out, if there is one yet.</param>
/// <param name="BaselineBitsPerByte">What the order-3 byte model reaches on text held out; null for a task.</param>
/// <param name="TokensPerSecond">Speed over the latest steps, evaluations left out.</param>
/// <param name="Elapsed">Time spent training, that before interruptions included.</param>
/// <param name="Left">Time that the remaining steps are likely to take.</param>
/// <param name="Evaluated">Whether this step ended with an evaluation.</param>
public sealed record TrainingProgress(
    int Step,
    int Steps,
    double Loss,
    double LearningRate,
    double GradientNorm,
    ValidationResult? Validation,
    double? BaselineBitsPerByte,
    double TokensPerSecond,
    TimeSpan Elapsed,
    TimeSpan Left,
    bool Evaluated)
{
    /// <summary>The latest measurement on text held out, if there is one yet.</summary>
    public double? ValidationBitsPerByte => Validation?.BitsPerByte;
}
