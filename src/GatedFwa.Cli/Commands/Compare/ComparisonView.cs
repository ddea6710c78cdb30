using GatedFwa.Cli.Commands.Training;
using GatedFwa.Models;
using GatedFwa.Training;
using GatedFwa.Training.Comparisons;

namespace GatedFwa.Cli.Commands.Compare;

/// <summary>Says on stderr which run is trained, how far it is, and how it ended.</summary>
/// <param name="comparison">The comparison.</param>
/// <param name="options">What is compared.</param>
internal sealed class ComparisonView(Comparison comparison, ComparisonOptions options) : IComparisonView
{
    private int _number;

    /// <summary>The exit code of the first failure; 0 while there is none.</summary>
    public int FailureCode { get; private set; }

    public TrainingResult Watch(ComparisonRun run, Func<Action<TrainingProgress>?, TrainingResult> train)
    {
        Console.Error.WriteLine($"{Heading(run)}: {run.Mixer.Description}; {ModelWords.Size(run.Mixer.In(options.Model))}.");
        return TrainingView.Watch(train);
    }

    public void Ended(ComparisonOutcome outcome)
    {
        if (outcome.Failure is { } failure)
        {
            Console.Error.Write($"{Heading(outcome.Run)} failed: ");
            int code = Failure.Report(failure, Console.Error);
            if (FailureCode == 0) FailureCode = code;
        }
        else if (outcome.Measurement is { } measured)
        {
            string how = outcome.WasFinished
                ? "was finished before"
                : $"{Words.Count((long)measured.TokensPerSecond)} tok/s, {Words.Number(measured.Seconds, "F1")} s";
            Console.Error.WriteLine($"{Heading(outcome.Run)}: loss {Words.Number(measured.Loss, "F4")} on the text held out, {how}.");
        }
        else
        {
            Console.Error.WriteLine(
                $"Stopped {outcome.Run} after step {Words.Count(outcome.Step)} of {Words.Count(options.Training.Steps)} and saved it. " +
                $"To go on: {Invocation.Name} compare --resume --output {options.Training.Output}");
        }

        _number++;
    }

    private string Heading(ComparisonRun run) => $"[{_number + 1}/{comparison.Runs.Count}] {run}";
}
