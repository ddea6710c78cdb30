using GatedFwa.Checkpoints;
using GatedFwa.Training.Evaluation.Tasks.Needles;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>
/// A test of what a language model knows or finds again, by the name it has in lm-evaluation-harness or RULER, and scored as there.
/// </summary>
/// <example>
/// <code>
/// PreparedTask task = EvaluationTask.Parse("lambada").Prepare(new() { Files = ["lambada.jsonl"] });
/// foreach (TaskResult result in task.Evaluate(model)) Console.WriteLine($"{result.Metric} {result.Value}");
/// </code>
/// </example>
public abstract class EvaluationTask
{
    private protected EvaluationTask(string name, string description, TaskSource source) =>
        (Name, Description, Source) = (name, description, source);

    /// <summary>Every task.</summary>
    public static IReadOnlyList<EvaluationTask> All { get; } =
    [
        Lambada.Task, HellaSwag.Task, Piqa.Task, Arc.Easy, Arc.Challenge, WinoGrande.Task, BoolQ.Task, Copa.Task, OpenBookQa.Task,
        SciQ.Task, WikiText.Task, Passkey.Task, .. Ruler.Tasks,
    ];

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What it asks, in a few words.</summary>
    public string Description { get; }

    /// <summary>What it needs beside the model.</summary>
    public TaskSource Source { get; }

    /// <summary>The task of that name.</summary>
    /// <param name="name">One of the names of <see cref="All"/>.</param>
    /// <exception cref="InputException">There is none.</exception>
    public static EvaluationTask Parse(string name) =>
        All.FirstOrDefault(task => task.Name == name) ??
        throw new InputException(
            $"There is no task {Phrase.Quote(name)}{Phrase.DidYouMean(name, All.Select(task => task.Name))}; " +
            $"use {string.Join(", ", All.Select(task => task.Name))}.");

    /// <summary>Reads or makes the examples, all of them, so that what is wrong with them is said before a model computes.</summary>
    /// <param name="options">What to make them from.</param>
    /// <exception cref="InputException">A file is missing, a line of it is not what the task needs, or the length is too short.</exception>
    public PreparedTask Prepare(TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (Source == TaskSource.JsonLines && options.Files.Count == 0)
            throw new InputException($"The task {Name} needs its examples; name a file of JSON lines (docs/evaluation.md says which).");
        if (Source == TaskSource.Haystack && options.Haystack.Count == 0)
            throw new InputException($"The task {Name} hides its needles in a text; name a text file as its haystack.");
        return Make(options);
    }

    /// <inheritdoc cref="Prepare"/>
    private protected abstract PreparedTask Make(TaskOptions options);
}
