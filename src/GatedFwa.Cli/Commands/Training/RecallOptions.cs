using System.CommandLine;
using GatedFwa.Training;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>The flags that name a task of recall to learn instead of a text; <c>--context</c> says how long its examples are.</summary>
internal sealed class RecallOptions
{
    private static readonly RecallTask Usual = RecallTask.Zoology(length: 64);

    private readonly Option<string?> _task = new Option<string?>("--task")
    {
        Description =
            "Learn a task instead of text: to recall the value of a key (mqar), or the last of those that were written (forgetting-mqar).",
        HelpName = $"{RecallTask.PlainName}|{RecallTask.ForgettingName}",
    }.AcceptOnlyFromAmong(RecallTask.PlainName, RecallTask.ForgettingName);

    private readonly Option<int?> _pairs = SharedOptions.Count("--pairs", "Keys of an example.", "1 for 16 tokens; 64 for 512");
    private readonly Option<int?> _rewrites = SharedOptions.Count("--rewrites", "Keys that forgetting-mqar writes again.", "half");
    private readonly Option<int?> _vocabulary = SharedOptions.Count("--vocabulary", "Token ids of a task.", $"{Usual.VocabularySize}");
    private readonly Option<int?> _examples =
        SharedOptions.Count("--examples", "Different examples of a task to learn from.", $"{Usual.TrainingExamples}");

    private readonly Option<bool> _randomFiller = new("--random-filler")
    {
        Description = "Fill the rest of an example with random tokens instead of token 0.",
    };

    private Option[] Details => [_pairs, _rewrites, _vocabulary, _examples, _randomFiller];

    /// <summary>Adds the flags to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="insteadOf">The flag that names a text.</param>
    public void AddTo(Command command, Option insteadOf)
    {
        Option[] all = [_task, .. Details];
        foreach (Option option in all) command.Options.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetResult(_task) is not null && result.GetResult(insteadOf) is { Implicit: false })
                result.AddError($"{insteadOf.Name} and --task exclude each other.");
            if (result.GetResult(_rewrites) is not null && result.GetValue(_task) == RecallTask.PlainName)
                result.AddError($"--rewrites needs --task {RecallTask.ForgettingName}.");
        });
    }

    /// <summary>The name of the task, where one is named.</summary>
    public string? Name(ParseResult result) => result.GetValue(_task);

    /// <summary>The task that the flags describe; null where none is named.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="length">Tokens of an example, where they are named.</param>
    /// <exception cref="InputException">They make no task.</exception>
    public RecallTask? Build(ParseResult result, int? length)
    {
        if (Name(result) is { } name)
            return Change(RecallTask.Zoology(length ?? Usual.Length, name, result.GetValue(_pairs)), result).Validate();
        if (Details.FirstOrDefault(option => result.GetResult(option) is { Implicit: false }) is { } detail)
            throw new InputException($"{detail.Name} describes a task; name it with --task.");
        return null;
    }

    /// <summary>A task with the flags that were given in place of its settings.</summary>
    public RecallTask Change(RecallTask task, ParseResult result) => task with
    {
        Pairs = result.GetValue(_pairs) ?? task.Pairs,
        Rewrites = result.GetValue(_rewrites) ?? task.Rewrites,
        VocabularySize = result.GetValue(_vocabulary) ?? task.VocabularySize,
        TrainingExamples = result.GetValue(_examples) ?? task.TrainingExamples,
        RandomFiller = result.GetValue(_randomFiller) || task.RandomFiller,
    };

    /// <summary>The task of a run that is to go on, with what the flags say of it.</summary>
    /// <exception cref="InputException">The run learns something else than they name.</exception>
    public RecallTask? Claim(TrainerOptions saved, ParseResult result)
    {
        if (Name(result) is { } name && name != saved.Task?.Name)
        {
            throw new InputException(
                $"The run in \"{saved.Output}\" learns {saved.Task?.Name ?? "a text"}, not {name}; " +
                "resume without --task, or start a new run in another folder.");
        }

        return saved.Task is { } task ? Change(task, result) : Build(result, null);
    }
}
