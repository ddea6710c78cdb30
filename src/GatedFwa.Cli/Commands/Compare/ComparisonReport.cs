using GatedFwa.Training.Comparisons;
using Spectre.Console;

namespace GatedFwa.Cli.Commands.Compare;

/// <summary>What a comparison has shown, on stdout.</summary>
internal static class ComparisonReport
{
    public static void Print(ComparisonResult result)
    {
        Table table = Screen.NewTable();
        // A terminal is narrow: the rest is in comparison.md.
        ComparisonColumn[] shown = [.. ComparisonTable.Columns.Where(column => !column.IsDetail)];
        foreach (ComparisonColumn column in shown)
        {
            var heading = new TableColumn(column.Heading);
            table.AddColumn(column == shown[0] ? heading : heading.RightAligned());
        }

        foreach (ComparisonRow row in result.Rows) table.AddRow([.. shown.Select(column => column.Cell(row))]);
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
