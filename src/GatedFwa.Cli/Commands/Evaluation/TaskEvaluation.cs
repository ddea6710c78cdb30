using System.Diagnostics;
using GatedFwa.Models;
using GatedFwa.Training.Evaluation.Tasks;
using Spectre.Console;

namespace GatedFwa.Cli.Commands.Evaluation;

/// <summary>How well a model solves tasks.</summary>
/// <param name="name">What the user called the model.</param>
/// <param name="tasks">The tasks, with their examples.</param>
/// <param name="json">Whether a program reads the result.</param>
internal sealed class TaskEvaluation(string name, IReadOnlyList<PreparedTask> tasks, bool json)
{
    /// <summary>Measures and prints.</summary>
    /// <param name="model">The model.</param>
    /// <param name="context">Tokens that it reads of an example at most; all unless given.</param>
    public void Run(LanguageModel model, int? context)
    {
        long start = Stopwatch.GetTimestamp();
        if (model.Config.Reach is { } reach && tasks.Any(task => task.Length > reach))
        {
            Console.Error.WriteLine(
                $"Warning: {ModelWords.Reach(model.Config)}: what lies further away it finds by chance only.");
        }

        List<TaskResult> results = [];
        if (Screen.IsLive)
        {
            Screen.Remarks.Status().Start("", status =>
            {
                foreach (PreparedTask task in tasks)
                    results.AddRange(task.Evaluate(model, context, done => status.Status = $"{task.Name} {Words.Number(done, "P0")}"));
            });
        }
        else
        {
            foreach (PreparedTask task in tasks) results.AddRange(task.Evaluate(model, context));
        }

        TimeSpan time = Stopwatch.GetElapsedTime(start);
        if (json) WriteJson(results, time);
        else WriteTable(results, time);
    }

    private static string Digits(double value) => Words.Number(value, Math.Abs(value) < 1000 ? "F4" : "G6");

    private void WriteJson(List<TaskResult> results, TimeSpan time) => JsonOutput.Write(new
    {
        Model = name,
        Results = results.Select(result => new
        {
            result.Task,
            result.Metric,
            result.Value,
            Stderr = result.StandardError,
            N = result.Count,
            result.MaxLength,
            result.Reach,
        }),
        Seconds = time.TotalSeconds,
    });

    private static void WriteTable(List<TaskResult> results, TimeSpan time)
    {
        Table table = Screen.NewTable();
        table.AddColumn("task").AddColumn("metric");
        foreach (string column in (string[])["value", "± stderr", "n", "max_length", "reach"])
            table.AddColumn(new TableColumn(column).RightAligned());
        foreach (TaskResult result in results)
        {
            table.AddRow(
                result.Task,
                result.Metric,
                Digits(result.Value),
                result.StandardError is { } error ? Digits(error) : "",
                Words.Count(result.Count),
                Bound(result.MaxLength),
                Bound(result.Reach));
        }

        Screen.Results.Write(table);
        Facts.Print("time", $"{Words.Number(time.TotalSeconds, "F1")} s");
    }

    private static string Bound(long? tokens) => tokens is { } most ? Words.Count(most) : "unlimited";
}
