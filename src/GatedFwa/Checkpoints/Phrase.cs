using System.Text;

namespace GatedFwa.Checkpoints;

/// <summary>Makes text from a file fit to stand in an error's sentence.</summary>
internal static class Phrase
{
    private const int LongestQuote = 80;
    private const int MostBytesOfChar = 3; // Four bytes of UTF-8 make two.

    /// <summary>The text in quotation marks, cut where it is long, without characters that could upset a terminal.</summary>
    public static string Quote(string text) => $"\"{Printable(text)}\"";

    /// <summary>UTF-8 in quotation marks, likewise; however long it is, only the part that is shown becomes a string.</summary>
    public static string Quote(ReadOnlySpan<byte> utf8) =>
        Quote(Encoding.UTF8.GetString(utf8[..Math.Min(utf8.Length, (LongestQuote + 1) * MostBytesOfChar)]));

    /// <summary>The text, cut where it is long, without characters that could upset a terminal.</summary>
    public static string Printable(string text)
    {
        var printable = new StringBuilder();
        foreach (char letter in text.AsSpan(0, Math.Min(text.Length, LongestQuote)))
            printable.Append(char.IsControl(letter) || char.IsSurrogate(letter) ? '\uFFFD' : letter);
        return printable.Append(text.Length > LongestQuote ? "…" : "").ToString();
    }

    /// <summary>" (did you mean "x"?)" to go on with a sentence, or nothing where no candidate is near.</summary>
    public static string DidYouMean(string text, IEnumerable<string> candidates)
    {
        string? nearest = Nearest(text, candidates);
        return nearest is null ? "" : $" (did you mean {Quote(nearest)}?)";
    }

    /// <summary>The candidate that the fewest edits lead to; none where that takes more than about a third of the letters.</summary>
    public static string? Nearest(string text, IEnumerable<string> candidates)
    {
        if (text.Length > LongestQuote) return null;
        string? nearest = null;
        int fewest = Math.Max(1, (text.Length + 1) / 3) + 1;
        foreach (string candidate in candidates)
        {
            // More letters too many than edits allowed: spares a hostile file's long names the table.
            if (Math.Abs(candidate.Length - text.Length) >= fewest) continue;
            int edits = EditDistance(text, candidate);
            if (edits < fewest) (nearest, fewest) = (candidate, edits);
        }

        return nearest;
    }

    /// <summary>Levenshtein's distance: insertions, deletions and replacements.</summary>
    private static int EditDistance(string from, string to)
    {
        var row = new int[to.Length + 1];
        for (int j = 0; j <= to.Length; j++) row[j] = j;
        for (int i = 1; i <= from.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= to.Length; j++)
            {
                int replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, 1 + Math.Min(row[j], row[j - 1]));
            }
        }

        return row[to.Length];
    }
}
