using GatedFwa.Models;
using GatedFwa.Tokenizers;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>A task whose examples are read and found good: only the model is missing.</summary>
public sealed class PreparedTask
{
    private readonly Func<TaskSubject, IEnumerable<TaskFigure>> _evaluate;

    /// <summary>Makes it.</summary>
    /// <param name="name">The task's name.</param>
    /// <param name="count">Examples.</param>
    /// <param name="evaluate">Measures a model.</param>
    /// <param name="length">The length of the examples, where the task sets it itself.</param>
    internal PreparedTask(string name, int count, Func<TaskSubject, IEnumerable<TaskFigure>> evaluate, int? length = null) =>
        (Name, Count, _evaluate, Length) = (name, count, evaluate, length);

    /// <summary>The task's name.</summary>
    public string Name { get; }

    /// <summary>Examples.</summary>
    public int Count { get; }

    /// <summary>Tokens of each example, where the task sets them itself (needles); null elsewhere.</summary>
    public int? Length { get; }

    /// <summary>Measures a model.</summary>
    /// <param name="model">A byte model.</param>
    /// <param name="maxLength">Tokens that it reads of an example at most, the last ones; null for all. A model with full attention
    /// should be given no more than it was trained with.</param>
    /// <param name="progress">Told the share that is done, 0 to 1.</param>
    /// <returns>One result a metric.</returns>
    /// <exception cref="InputException">The model is none of bytes, its scores are not numbers, or an answer alone is longer than
    /// <paramref name="maxLength"/>.</exception>
    public IReadOnlyList<TaskResult> Evaluate(LanguageModel model, int? maxLength = null, Action<double>? progress = null)
    {
        if (maxLength is { } most) ArgumentOutOfRangeException.ThrowIfLessThan(most, 1, nameof(maxLength));
        Evaluator.RequireBytes(model);
        var subject = new TaskSubject(model, new ByteTokenizer(), maxLength, progress);
        return
        [
            .. _evaluate(subject).Select(figure => new TaskResult(
                Name, figure.Metric, figure.Value, figure.StandardError, Count, Length ?? maxLength, model.Config.Reach)),
        ];
    }
}

/// <summary>The model that a task measures.</summary>
/// <param name="Model">The model.</param>
/// <param name="Tokenizer">Its tokenizer.</param>
/// <param name="MaxLength">Tokens that it reads of an example at most; null for all.</param>
/// <param name="Progress">Told the share that is done, 0 to 1.</param>
internal sealed record TaskSubject(LanguageModel Model, ByteTokenizer Tokenizer, int? MaxLength, Action<double>? Progress)
{
    /// <summary>The scores of tokens that are split already.</summary>
    public ContinuationScore[] Score(IReadOnlyList<TokenContinuation> requests, bool greedy = false) =>
        new ContinuationScorer(Model, done => Progress?.Invoke((double)done / requests.Count)).Score(requests, greedy);

    /// <summary>The scores of texts.</summary>
    public ContinuationScore[] Score(IEnumerable<Continuation> texts, bool greedy = false) =>
        Score([.. texts.Select(text => text.Encode(Tokenizer, MaxLength))], greedy);
}
