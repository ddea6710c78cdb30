namespace GatedFwa.Training;

/// <summary>How a run ended.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="Validation">The latest measurement on what is held out, if there is one.</param>
/// <param name="BaselineBitsPerByte">What the order-3 byte model reaches on text held out; null for a task.</param>
/// <param name="Elapsed">Time spent training, that before interruptions included.</param>
/// <param name="Solved">Whether a task was solved, which ends a run before its last step.</param>
public sealed record TrainingResult(
    int Step, int Steps, ValidationResult? Validation, double? BaselineBitsPerByte, TimeSpan Elapsed, bool Solved = false)
{
    /// <summary>False where the run was interrupted and can be resumed.</summary>
    public bool Completed => Step == Steps || Solved;

    /// <summary>The latest measurement on text held out, if there is one.</summary>
    public double? ValidationBitsPerByte => Validation?.BitsPerByte;
}
