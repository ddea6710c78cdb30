namespace GatedFwa.Training;

/// <summary>How a run ended.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="ValidationBitsPerByte">The latest measurement on the validation split, if there is one.</param>
/// <param name="BaselineBitsPerByte">What the order-3 byte model reaches on the same split.</param>
/// <param name="Elapsed">Time spent training, that before interruptions included.</param>
public sealed record TrainingResult(int Step, int Steps, double? ValidationBitsPerByte, double BaselineBitsPerByte, TimeSpan Elapsed)
{
    /// <summary>False where the run was interrupted and can be resumed.</summary>
    public bool Completed => Step == Steps;
}
