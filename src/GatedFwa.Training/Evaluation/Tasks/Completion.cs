namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>A task that is solved where the model, always choosing the likeliest token, would go on just so.</summary>
/// <param name="name">Its name.</param>
/// <param name="description">What it asks.</param>
/// <param name="read">Makes a beginning and its end of a line.</param>
internal sealed class Completion(string name, string description, Func<TaskLine, Continuation> read) :
    EvaluationTask(name, description, TaskSource.JsonLines)
{
    /// <summary>The share of greedy hits, and e to the mean loss of an end (not of a token).</summary>
    public static IEnumerable<TaskFigure> Figures(IReadOnlyList<ContinuationScore> scores)
    {
        TaskFigure loss = TaskFigure.Mean("loss", [.. scores.Select(score => -score.LogLikelihood)]);
        double perplexity = Math.Exp(loss.Value);
        return
        [
            TaskFigure.Mean("acc", [.. scores.Select(score => score.IsGreedy ? 1.0 : 0)]),
            // What the harness' resampling tends to: the error of the mean, through the slope of the exponential.
            new TaskFigure("perplexity", perplexity, perplexity * loss.StandardError),
        ];
    }

    private protected override PreparedTask Make(TaskOptions options)
    {
        IReadOnlyList<Continuation> examples = JsonLines.Read(options.Files, read);
        return new PreparedTask(Name, examples.Count, subject => Figures(subject.Score(examples, greedy: true)));
    }
}
