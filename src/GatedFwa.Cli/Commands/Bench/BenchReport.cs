using System.Globalization;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Rows for people, as they come, in 80 columns; or all of them for programs.</summary>
internal static class BenchReport
{
    private const string Layout = "{0,-30} {1,7}  {2,-7} {3,14}  {4,-14}";

    public static void PrintHeader(string explanation, TextWriter output)
    {
        Machine machine = Machine.Current;
        output.WriteLine($"gatedfwa {machine.VersionInWords}, {machine.Runtime}");
        output.WriteLine($"{machine.Processor}, {machine.Processors} processors, {machine.Simd}");
        output.WriteLine();
        foreach (string line in Words.Wrap(explanation, 80)) output.WriteLine(line);
        output.WriteLine();
    }

    public static void PrintColumns(string heading, TextWriter output)
    {
        output.WriteLine(Line(heading, "median", "", "min–max", "of the limit"));
    }

    public static void PrintRow(Row row, TextWriter output)
    {
        string limit = row.Shares is { } shares ? $"{Percent(row.MedianShare!.Value),4}  ({Percent(shares[0])}–{Percent(shares[^1])})" : "";
        output.WriteLine(Line("  " + row.What, Number(row.Median), row.Unit, $"{Number(row.Min)}–{Number(row.Max)}", limit));
    }

    public static object ToDocument(string bench, string explanation, string? gpu, IEnumerable<Row> rows) => new
    {
        Bench = bench,
        Explanation = explanation,
        Gpu = gpu,
        Machine = Machine.Current,
        Rows = rows.Select(row => new
        {
            row.What,
            row.Threads,
            row.Unit,
            row.Median,
            row.Min,
            row.Max,
            row.Limit,
            ShareMedian = row.MedianShare,
            ShareMin = row.Shares?[0],
            ShareMax = row.Shares?[^1],
            Samples = row.Samples.Count,
        }),
    };

    private static string Line(params object[] cells) => string.Format(CultureInfo.InvariantCulture, Layout, cells).TrimEnd();

    private static string Percent(double share) => (share * 100).ToString("F0", CultureInfo.InvariantCulture) + "%";

    /// <summary>Three or four significant digits.</summary>
    private static string Number(double value) =>
        value.ToString(value switch { >= 100 => "F0", >= 10 => "F1", >= 1 => "F2", _ => "F3" }, CultureInfo.InvariantCulture);
}
