using GatedFwa.Training.Comparisons;
using Spectre.Console;

namespace GatedFwa.Cli.Commands.Compare;

/// <summary>What a comparison has shown, on stdout.</summary>
internal static class ComparisonReport
{
    // In 80 columns: the rest is in comparison.md.
    private static readonly int[] Shown = [0, 2, 4, 5, 7, 8, 9];

    public static void Print(ComparisonResult result)
    {
        Table table = Screen.NewTable();
        foreach (int column in Shown)
        {
            var heading = new TableColumn(ComparisonTable.Columns[column]);
            table.AddColumn(column == 0 ? heading : heading.RightAligned());
        }

        foreach (IReadOnlyList<string> cells in ComparisonTable.Cells(result)) table.AddRow([.. Shown.Select(column => cells[column])]);
        Screen.Results.Write(table);
        string output = result.Options.Training.Output;
        Console.Out.WriteLine();
        Console.Out.WriteLine($"{output} holds comparison.md, comparison.svg and a run for each mixer and seed.");
    }

    /// <summary>All of it for programs.</summary>
    public static object ToDocument(ComparisonResult result) => new
    {
        Output = result.Options.Training.Output,
        result.Completed,
        result.Device,
        Machine = Machine.Current,
        result.Options.Training.Steps,
        result.Options.Training.TokensPerStep,
        result.Options.Training.Context,
        result.Options.Seeds,
        Mixers = result.Rows.Select(row => new
        {
            Mixer = row.Mixer.Name,
            Loss = row.Over(run => run.Loss),
            BitsPerByte = row.Over(run => run.BitsPerByte),
            LastQuarterLoss = row.Over(run => run.LastQuarterLoss),
            TokensPerSecond = row.Over(run => run.TokensPerSecond),
            Seconds = row.Over(run => run.Seconds),
            StepBytes = row.Over(run => run.StepBytes),
            Runs = row.Outcomes.Select(outcome => new
            {
                outcome.Run.Seed,
                outcome.Run.Output,
                outcome.Step,
                outcome.Measurement,
                Failure = outcome.Failure?.Message,
            }),
        }),
    };
}
