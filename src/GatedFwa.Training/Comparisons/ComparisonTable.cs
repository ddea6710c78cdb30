using System.Globalization;
using System.Text;

namespace GatedFwa.Training.Comparisons;

/// <summary>Writes <c>comparison.md</c>: a row a mixer, what was compared, and why a run has failed.</summary>
internal static class ComparisonTable
{
    private const string Missing = "–";
    private const double Mebi = 1 << 20, Kibi = 1 << 10;

    /// <summary>The columns, from left to right.</summary>
    public static IReadOnlyList<ComparisonColumn> Columns { get; } =
    [
        new("mixer", row => row.Mixer.Name),
        new("parameters", row => Mean(row, run => run.Parameters, "#,0"), IsDetail: true),
        new("validation loss", row => Loss(row, run => run.Loss)),
        new("bits per byte", row => Loss(row, run => run.BitsPerByte), IsDetail: true),
        new("last quarter", row => Loss(row, run => run.LastQuarterLoss)),
        new("tokens/s", row => Mean(row, run => run.TokensPerSecond, "#,0")),
        new("seconds", row => Mean(row, run => run.Seconds, "#,0.0"), IsDetail: true),
        new("memory of a step, MiB", row => Mean(row, run => run.StepBytes / Mebi, "#,0.0")),
        new(
            $"state at {Whole(DecodeStateSize.TableTokens)} tokens, KiB",
            row => Mean(row, run => run.DecodeState.After(DecodeStateSize.TableTokens) / Kibi, "#,0.0")),
        new("a further token, KiB", Growth),
    ];

    public static string Markdown(ComparisonResult result)
    {
        var text = new StringBuilder("# Mixers compared\n\n");
        AppendRow(text, Columns.Select(column => column.Heading));
        AppendRow(text, Columns.Select((_, i) => i == 0 ? "---" : "---:"));
        foreach (ComparisonRow row in result.Rows) AppendRow(text, Columns.Select(column => column.Cell(row)));
        text.Append('\n');
        foreach (string line in Notes(result)) text.Append("- ").Append(line).Append('\n');
        if (result.Failures.Count == 0) return text.ToString();
        text.Append("\nFailed, and tried again when the comparison is resumed:\n\n");
        foreach (ComparisonOutcome failed in result.Failures)
            text.Append($"- {failed.Run}: {failed.Failure!.Message.ReplaceLineEndings(" ")}\n");
        return text.ToString();
    }

    /// <summary>What the figures are.</summary>
    private static IEnumerable<string> Notes(ComparisonResult result)
    {
        (TrainerOptions training, Models.ModelConfig model) = (result.Options.Training, result.Options.Model);
        string window = model.Window is { } keys ? $"window {Whole(keys)}" : "no window";
        yield return $"Each model: {model.Layers} layers of width {model.Width}, {model.Heads} heads, {window} where the mixer has one.";
        yield return $"Each training: {Whole(training.Steps)} steps of {Whole(training.TokensPerStep)} tokens in contexts of " +
            $"{Whole(training.Context)}, the same in the same order for every mixer; {Seeds(result.Options.Seeds)}.";
        yield return "Loss: nats a byte of the text held out, each context by itself; last quarter: its last quarter alone. " +
            "Seconds: median step × steps. State: of one decoded text.";
        // A comparison that was resumed may have been measured by more than one version.
        string[] machines = [.. result.Rows.SelectMany(row => row.Measurements).Select(run => run.Machine).OfType<string>().Distinct()];
        yield return machines.Length == 0 ? $"On {result.Device}." : $"On {result.Device}: {string.Join("; ", machines)}.";
    }

    private static string Seeds(IReadOnlyList<ulong> seeds) =>
        seeds.Count == 1 ? $"seed {seeds[0]}" : $"seeds {string.Join(", ", seeds)} (mean ± standard deviation of one)";

    /// <summary>The mean over the seeds that are finished.</summary>
    private static string Mean(ComparisonRow row, Func<RunMeasurement, double?> figure, string format) =>
        row.Over(figure) is { } over ? Number(over.Mean, format) : Missing;

    /// <summary>A loss with the spread of its seeds, where there are several.</summary>
    private static string Loss(ComparisonRow row, Func<RunMeasurement, double?> figure)
    {
        const string format = "0.0000";
        return Mean(row, figure, format) + (row.Over(figure)?.Deviation is { } deviation ? $" ± {Number(deviation, format)}" : "");
    }

    private static string Growth(ComparisonRow row)
    {
        string growth = Mean(row, run => run.DecodeState.BytesPerToken / Kibi, "0.##");
        return growth == "0" ? "constant" : growth;
    }

    private static void AppendRow(StringBuilder text, IEnumerable<string> cells) =>
        text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");

    private static string Whole(long count) => Number(count, "#,0");

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
