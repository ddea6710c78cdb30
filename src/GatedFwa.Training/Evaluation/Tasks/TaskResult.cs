namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>One figure of a task.</summary>
/// <param name="Task">The task's name.</param>
/// <param name="Metric">What is measured, as lm-evaluation-harness calls it.</param>
/// <param name="Value">The figure; accuracies and scores are shares of 1.</param>
/// <param name="StandardError">How far chance moves it; null where that is not known.</param>
/// <param name="Count">Examples.</param>
/// <param name="MaxLength">Tokens that the model reads of an example at most; null where nothing is cut off.</param>
/// <param name="Reach">
/// How many tokens back the model can look (<see cref="Models.ModelConfig.Reach"/>); null where nothing bounds it.
/// </param>
public sealed record TaskResult(string Task, string Metric, double Value, double? StandardError, int Count, int? MaxLength, long? Reach);

/// <summary>A figure before it is known whose it is.</summary>
/// <param name="Metric">What is measured.</param>
/// <param name="Value">The figure.</param>
/// <param name="StandardError">How far chance moves it.</param>
internal readonly record struct TaskFigure(string Metric, double Value, double? StandardError = null)
{
    /// <summary>A mean over examples; its error is the sample's standard deviation over √n, which one example does not have.</summary>
    public static TaskFigure Mean(string metric, IReadOnlyList<double> values) =>
        new(metric, values.Average(), Statistics.Deviation(values) / Math.Sqrt(values.Count));
}
