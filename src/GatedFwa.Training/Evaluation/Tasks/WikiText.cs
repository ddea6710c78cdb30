using System.Text.RegularExpressions;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>
/// WikiText (Merity et al. 2016), a page a line: how surprising a page is, a word. Its text is cut into tokens of its own, which are
/// undone before the model sees it; words and bytes are counted as they were.
/// </summary>
internal static partial class WikiText
{
    // In this order: what one replacement leaves, the next one finds.
    private static readonly (string From, string To)[] Punctuation =
    [
        (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."),
        (" : ", ": "), (" ; ", "; "), (" . ", ". "), (" ! ", "! "), (" ? ", "? "), (" , ", ", "),
    ];

    private static readonly (Regex Pair, string Tight)[] Pairs =
        [(Parentheses(), "($1)"), (SquareBrackets(), "[$1]"), (Braces(), "{$1}"), (Quotes(), "\"$1\""), (Apostrophes(), "'$1'")];

    private static readonly (string From, string To)[] Rest =
    [
        ("= = = =", "===="), ("= = =", "==="), ("= =", "=="),
        (" ° ", "°"), (" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s"),
    ];

    public static WordPerplexity Task { get; } = new("wikitext", "how surprising a page is, a word", Read, Detokenise);

    public static string Read(TaskLine line) => line.Text("page") is { Length: > 0 } page ? page : throw line.Wrong("page", "is empty");

    /// <summary>The page as a reader would have it.</summary>
    internal static string Detokenise(string page)
    {
        page = page.Replace("s '", "s'", StringComparison.Ordinal);
        page = Years().Replace(page, "/'[0-9]/"); // The harness writes its own pattern here; it never occurs in the data.
        page = Replace(page, Punctuation);
        foreach ((Regex pair, string tight) in Pairs) page = pair.Replace(page, tight);
        return Replace(page, Rest);
    }

    private static string Replace(string page, (string From, string To)[] replacements) =>
        replacements.Aggregate(page, (text, replacement) => text.Replace(replacement.From, replacement.To, StringComparison.Ordinal));

    [GeneratedRegex("/' [0-9]/")]
    private static partial Regex Years();

    [GeneratedRegex(@"\(" + PythonText.Space + @"*([^\)]*?)" + PythonText.Space + @"*\)")]
    private static partial Regex Parentheses();

    [GeneratedRegex(@"\[" + PythonText.Space + @"*([^\]]*?)" + PythonText.Space + @"*\]")]
    private static partial Regex SquareBrackets();

    [GeneratedRegex(@"\{" + PythonText.Space + @"*([^}]*?)" + PythonText.Space + @"*\}")]
    private static partial Regex Braces();

    [GeneratedRegex("\"" + PythonText.Space + "*([^\"]*?)" + PythonText.Space + "*\"")]
    private static partial Regex Quotes();

    [GeneratedRegex("'" + PythonText.Space + "*([^']*?)" + PythonText.Space + "*'")]
    private static partial Regex Apostrophes();
}
