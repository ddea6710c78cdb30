namespace GatedFwa.Training.Comparisons;

/// <summary>Watches a comparison while it goes.</summary>
public interface IComparisonView
{
    /// <summary>A run is about to be trained, or to go on.</summary>
    /// <param name="run">The run.</param>
    /// <param name="train">Trains it, and reports after every step.</param>
    /// <returns>What <paramref name="train"/> gave.</returns>
    TrainingResult Watch(ComparisonRun run, Func<Action<TrainingProgress>?, TrainingResult> train);

    /// <summary>A run has ended; table and chart tell of it already.</summary>
    /// <param name="outcome">How.</param>
    void Ended(ComparisonOutcome outcome);
}
