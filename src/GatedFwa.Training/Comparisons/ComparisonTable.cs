using System.Globalization;
using System.Text;

namespace GatedFwa.Training.Comparisons;

/// <summary>Writes <c>comparison.md</c>: a row a mixer, what was compared, and why a run has failed.</summary>
internal static class ComparisonTable
{
    private const string Missing = "–";
    private const double Mebi = 1 << 20, Kibi = 1 << 10;

    public static IReadOnlyList<string> Columns { get; } =
    [
        "mixer", "parameters", "validation loss", "bits per byte", "last quarter", "tokens/s", "seconds", "memory of a step, MiB",
        $"state at {Whole(DecodeStateSize.TableTokens)} tokens, KiB", "a further token, KiB",
    ];

    /// <summary>The cells of each row, under <see cref="Columns"/>.</summary>
    public static IEnumerable<IReadOnlyList<string>> Cells(ComparisonResult result) => result.Rows.Select(Cells);

    /// <summary>The reason of a failure, on one line.</summary>
    public static string Sentence(ComparisonOutcome failed) => $"{failed.Run}: {failed.Failure!.Message.ReplaceLineEndings(" ")}";

    public static string Markdown(ComparisonResult result)
    {
        var text = new StringBuilder("# Mixers compared\n\n");
        AppendRow(text, Columns);
        AppendRow(text, Columns.Select((_, i) => i == 0 ? "---" : "---:"));
        foreach (IReadOnlyList<string> cells in Cells(result)) AppendRow(text, cells);
        text.Append('\n');
        foreach (string line in Notes(result)) text.Append("- ").Append(line).Append('\n');
        if (result.Failures.Count == 0) return text.ToString();
        text.Append("\nFailed, and tried again when the comparison is resumed:\n\n");
        foreach (ComparisonOutcome failed in result.Failures) text.Append("- ").Append(Sentence(failed)).Append('\n');
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

    private static string[] Cells(ComparisonRow row)
    {
        string Cell(Func<RunMeasurement, double?> figure, string format, bool spread = false)
        {
            if (row.Over(figure) is not { } over) return Missing;
            return Number(over.Mean, format) + (spread && over.Deviation is { } deviation ? $" ± {Number(deviation, format)}" : "");
        }

        string growth = Cell(run => run.DecodeState.BytesPerToken / Kibi, "0.##");
        return
        [
            row.Mixer.Name,
            Cell(run => run.Parameters, "#,0"),
            Cell(run => run.Loss, "0.0000", spread: true),
            Cell(run => run.BitsPerByte, "0.0000", spread: true),
            Cell(run => run.LastQuarterLoss, "0.0000", spread: true),
            Cell(run => run.TokensPerSecond, "#,0"),
            Cell(run => run.Seconds, "#,0.0"),
            Cell(run => run.StepBytes / Mebi, "#,0.0"),
            Cell(run => run.DecodeState.After(DecodeStateSize.TableTokens) / Kibi, "#,0.0"),
            growth == "0" ? "constant" : growth,
        ];
    }

    private static void AppendRow(StringBuilder text, IEnumerable<string> cells) =>
        text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");

    private static string Whole(long count) => Number(count, "#,0");

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
