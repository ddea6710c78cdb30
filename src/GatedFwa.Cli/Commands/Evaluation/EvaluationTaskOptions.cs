using System.CommandLine;
using System.CommandLine.Parsing;
using GatedFwa.Training.Evaluation.Tasks;

namespace GatedFwa.Cli.Commands.Evaluation;

/// <summary>The options of <c>evaluate --task</c>.</summary>
internal sealed class EvaluationTaskOptions
{
    private static readonly TaskOptions Usual = new();

    private readonly Option<string[]> _tasks = new("--task")
    {
        Description = "A task to solve instead of predicting text; may be given several times: " +
            $"{string.Join(", ", EvaluationTask.All.Select(task => task.Name))}.",
        HelpName = "NAME",
    };

    private readonly Option<string[]> _files = new("--file")
    {
        Description = "The task's examples, one JSON object a line; docs/evaluation.md names the fields and where the files come from. " +
            "With several tasks, one file for each that needs one, in their order.",
        HelpName = "FILE",
    };

    private readonly Option<string[]> _haystack = new("--haystack")
    {
        Description = "Text to hide needles in, for the needle tasks that need one.",
        HelpName = "TEXT",
    };

    private readonly Option<int?> _length =
        SharedOptions.Count("--length", "Tokens of a needle task, room for the answer included.", $"{Usual.Length}");

    private readonly Option<int?> _samples = SharedOptions.Count("--samples", "Prompts of a needle task.", $"{Usual.Samples}");

    private readonly Option<ulong?> _seed = new("--seed")
    {
        Description = $"The same seed makes the same needles. [default: {Usual.Seed}]",
        HelpName = "N",
    };

    /// <summary>All of them, for the command.</summary>
    public IEnumerable<Option> All => [_tasks, _files, _haystack, _length, _samples, _seed];

    /// <summary>Whether a task is asked for.</summary>
    public bool NamesTask(CommandResult result) => result.GetValue(_tasks) is { Length: > 0 };

    /// <summary>The tasks that are asked for, with their examples; null where a text is to be predicted.</summary>
    /// <exception cref="InputException">Options do not go together, or a task's examples cannot be used.</exception>
    public IReadOnlyList<PreparedTask>? Prepare(ParseResult result, bool hasText)
    {
        string[] names = result.GetValue(_tasks) ?? [];
        if (names.Length == 0)
        {
            RefuseStray(result, All, "a task");
            return null;
        }

        if (hasText) throw new InputException("A text and a task cannot be measured at once; leave the text or --task out.");
        EvaluationTask[] tasks = [.. names.Select(EvaluationTask.Parse)];
        if (tasks.All(NeedsFile)) RefuseStray(result, [_length, _samples, _seed], "a task that hides needles");
        if (!tasks.Any(task => task.Source == TaskSource.Haystack))
            RefuseStray(result, [_haystack], "a task that hides needles in a text of yours");
        var options = new TaskOptions
        {
            Haystack = result.GetValue(_haystack) ?? [],
            Length = result.GetValue(_length) ?? Usual.Length,
            Samples = result.GetValue(_samples) ?? Usual.Samples,
            Seed = result.GetValue(_seed) ?? Usual.Seed,
        };
        return [.. tasks.Zip(Share(tasks, result.GetValue(_files) ?? []), (task, files) => task.Prepare(options with { Files = files }))];
    }

    /// <summary>The files of each task: all for a single one that needs any, else one for each.</summary>
    private static IEnumerable<string[]> Share(EvaluationTask[] tasks, string[] files)
    {
        int needing = tasks.Count(NeedsFile), next = 0;
        if (needing == 0 ? files.Length > 0 : needing > 1 && files.Length != needing)
        {
            throw new InputException(
                $"These tasks need {Words.Count(needing)} files and {Words.Count(files.Length)} are named; " +
                "give each that needs one its --file, in the order of the tasks.");
        }

        return tasks.Select(task => !NeedsFile(task) ? [] : needing == 1 ? files : files[next..++next]);
    }

    private static void RefuseStray(ParseResult result, IEnumerable<Option> options, string owner)
    {
        if (options.FirstOrDefault(option => result.GetResult(option) is { Implicit: false }) is { } stray)
            throw new InputException($"{stray.Name} belongs to {owner}; name one with --task, or leave it out.");
    }

    private static bool NeedsFile(EvaluationTask task) => task.Source == TaskSource.JsonLines;
}
