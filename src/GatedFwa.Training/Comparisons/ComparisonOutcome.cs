namespace GatedFwa.Training.Comparisons;

/// <summary>How a run of a comparison ended.</summary>
/// <param name="Run">The run.</param>
/// <param name="Measurement">What was measured of it; null where it is not finished.</param>
/// <param name="Failure">Why it failed; null where it did not. It is tried again when the comparison is resumed.</param>
/// <param name="Step">Steps done.</param>
/// <param name="WasFinished">Whether it had been finished before and was left alone.</param>
public sealed record ComparisonOutcome(ComparisonRun Run, RunMeasurement? Measurement, Exception? Failure, int Step, bool WasFinished);
