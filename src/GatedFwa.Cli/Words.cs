using System.Globalization;
using System.Text;

namespace GatedFwa.Cli;

/// <summary>Numbers and foreign text as people read them.</summary>
internal static class Words
{
    /// <summary>A size in bytes, KiB, MiB or GiB.</summary>
    public static string Bytes(long bytes) => bytes switch
    {
        >= 1L << 30 => Number(bytes / (double)(1L << 30), "F1") + " GiB",
        >= 1L << 20 => Number(bytes / (double)(1L << 20), "F1") + " MiB",
        >= 1L << 10 => Number(bytes / (double)(1L << 10), "F1") + " KiB",
        _ => $"{bytes} bytes",
    };

    /// <summary>A count with thousands separated.</summary>
    public static string Count(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>The same of things: "1 file", "2,000 files".</summary>
    /// <param name="count">How many.</param>
    /// <param name="one">What one of them is called; more take an s.</param>
    public static string Count(long count, string one) => $"{Count(count)} {one}{(count == 1 ? "" : "s")}";

    /// <summary>h:mm:ss, without hours where there are none.</summary>
    public static string Duration(TimeSpan duration) =>
        duration.TotalHours >= 1
            ? $"{(long)duration.TotalHours}:{duration.Minutes:D2}:{duration.Seconds:D2}"
            : $"{duration.Minutes}:{duration.Seconds:D2}";

    public static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    /// <summary>Text from a file or a model, without characters that could command the terminal.</summary>
    public static string Printable(string text)
    {
        if (!text.Any(IsCommand)) return text;
        var printable = new StringBuilder(text.Length);
        foreach (char letter in text) printable.Append(IsCommand(letter) ? '\uFFFD' : letter);
        return printable.ToString();
    }

    /// <summary>Lines of at most that many characters, broken at spaces where there are any.</summary>
    public static IEnumerable<string> Wrap(string text, int width)
    {
        foreach (string paragraph in text.ReplaceLineEndings("\n").Split('\n'))
        {
            string rest = paragraph;
            while (rest.Length > width)
            {
                int space = rest.LastIndexOf(' ', width);
                int cut = space > 0 ? space : width;
                yield return rest[..cut];
                rest = rest[cut..].TrimStart(' ');
            }

            yield return rest;
        }
    }

    private static bool IsCommand(char letter) => char.IsControl(letter) && letter is not ('\n' or '\t' or '\r');
}
