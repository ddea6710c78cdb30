using System.CommandLine;
using GatedFwa.Training;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>The flags that say how a model is trained.</summary>
/// <param name="compares">Whether several models are: on text alone, with seeds of their own, and measured often enough for a curve.</param>
internal sealed class ScheduleOptions(bool compares = false)
{
    private static readonly TrainerOptions Defaults = new();
    private static readonly string UsualSteps = $"{Defaults.Steps}, or twelve times through a small text";

    private readonly Option<int?> _steps = SharedOptions.Count(
        "--steps",
        "Optimizer steps.",
        compares ? UsualSteps : $"{UsualSteps}; of a task 64 times through its examples");

    private readonly Option<int?> _batch = SharedOptions.Count(
        "--batch",
        compares ? "Windows of text in a step." : "Windows of text, or examples of a task, in a step.",
        compares ? $"{Defaults.BatchSize}" : $"{Defaults.BatchSize}; of a task up to 512");

    private readonly Option<int?> _context = SharedOptions.Count(
        "--context",
        compares ? "Tokens of a window of text." : "Tokens of a window of text, or of an example of a task.",
        compares ? $"{Defaults.Context}" : $"{Defaults.Context}; of a task 64");

    private readonly Option<int?> _accumulate =
        SharedOptions.Count("--accumulate", "Batches whose gradients make one step.", $"{Defaults.AccumulationSteps}");

    private readonly Option<double?> _learningRate = Number("--lr", "The peak learning rate.", Defaults.LearningRate);
    private readonly Option<double?> _finalLearningRate = Number("--final-lr", "The learning rate at the end.", Defaults.FinalLearningRate);

    private readonly Option<int?> _warmup =
        SharedOptions.Count("--warmup", "Steps that the learning rate rises for.", $"{Defaults.WarmupSteps}", least: 0);

    private readonly Option<float?> _weightDecay = new("--weight-decay")
    {
        Description = $"How strongly matrices shrink. [default: {Defaults.WeightDecay}]",
        HelpName = "X",
    };

    private readonly Option<double?> _clip =
        Number("--clip", "The largest norm of all gradients together; 0 for no limit.", Defaults.ClipNorm);

    private readonly Option<int?> _evaluateEvery = SharedOptions.Count(
        "--evaluate-every",
        "Steps between measurements on what is held out.",
        compares ? "a twelfth of all" : $"{Defaults.EvaluationInterval}; of a task an epoch");

    private readonly Option<double?> _saveEvery = new("--save-every")
    {
        Description = $"Seconds between checkpoints. [default: {Defaults.CheckpointSeconds}]",
        HelpName = "SECONDS",
    };

    private readonly Option<ulong?> _seed = new("--seed")
    {
        Description = "Names the weights, the order of the text and what is held out. [default: 0]",
        HelpName = "N",
    };

    private Option[] All =>
    [
        _steps, _batch, _context, _accumulate, _learningRate, _finalLearningRate, _warmup, _weightDecay, _clip, _evaluateEvery,
        _saveEvery, .. compares ? (Option[])[] : [_seed],
    ];

    /// <summary>Adds the flags to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in All) command.Options.Add(option);
    }

    /// <summary>Whether the steps were named, not left to their default.</summary>
    public bool NamesSteps(ParseResult result) => result.GetValue(_steps) is not null;

    /// <summary>The tokens of a window, where they were named.</summary>
    public int? Context(ParseResult result) => result.GetValue(_context);

    /// <summary>The rows of a step, where they were named.</summary>
    public int? Batch(ParseResult result) => result.GetValue(_batch);

    /// <summary>Whether the steps between measurements were named.</summary>
    public bool NamesEvaluation(ParseResult result) => result.GetValue(_evaluateEvery) is not null;

    /// <summary>Options with the flags that were given in place of their values.</summary>
    /// <exception cref="InputException">One makes no sense.</exception>
    public TrainerOptions Change(TrainerOptions options, ParseResult result)
    {
        options = options with
        {
            Steps = result.GetValue(_steps) ?? options.Steps,
            BatchSize = result.GetValue(_batch) ?? options.BatchSize,
            Context = result.GetValue(_context) ?? options.Context,
            AccumulationSteps = result.GetValue(_accumulate) ?? options.AccumulationSteps,
            LearningRate = result.GetValue(_learningRate) ?? options.LearningRate,
            FinalLearningRate = result.GetValue(_finalLearningRate) ?? options.FinalLearningRate,
            WarmupSteps = result.GetValue(_warmup) ?? options.WarmupSteps,
            WeightDecay = result.GetValue(_weightDecay) ?? options.WeightDecay,
            ClipNorm = result.GetValue(_clip) ?? options.ClipNorm,
            EvaluationInterval = result.GetValue(_evaluateEvery) ?? options.EvaluationInterval,
            CheckpointSeconds = result.GetValue(_saveEvery) ?? options.CheckpointSeconds,
            Seed = result.GetValue(_seed) ?? options.Seed,
        };
        return options.Validate();
    }

    private static Option<double?> Number(string name, string description, double usual) =>
        new(name) { Description = $"{description} [default: {usual}]", HelpName = "X" };
}
