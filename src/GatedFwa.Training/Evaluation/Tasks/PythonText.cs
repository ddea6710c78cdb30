namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>
/// What Python's <c>str</c> methods mean. The tasks are defined in that language, and a space more or less is another score.
/// </summary>
internal static class PythonText
{
    /// <summary>Python's <c>\s</c>, as a class of a regular expression.</summary>
    public const string Space = @"[\s\x1c-\x1f]";

    /// <summary><c>str.strip()</c>.</summary>
    public static string Strip(string text) => StripEnd(StripStart(text));

    /// <summary><c>str.lstrip()</c>.</summary>
    public static string StripStart(string text)
    {
        int start = 0;
        while (start < text.Length && IsSpace(text[start])) start++;
        return text[start..];
    }

    /// <summary><c>str.rstrip()</c>.</summary>
    public static string StripEnd(string text)
    {
        int end = text.Length;
        while (end > 0 && IsSpace(text[end - 1])) end--;
        return text[..end];
    }

    /// <summary><c>len(str)</c>: characters outside the basic plane count once.</summary>
    public static int Length(string text) => text.Length - text.Count(char.IsLowSurrogate);

    /// <summary><c>str.capitalize()</c>: a large first letter and small ones after it.</summary>
    public static string Capitalize(string text) => text.Length == 0 ? text : text[..1].ToUpperInvariant() + text[1..].ToLowerInvariant();

    /// <summary><c>str[:-1]</c>.</summary>
    public static string WithoutLast(string text) =>
        text.Length == 0 ? text : text[..^(text.Length > 1 && char.IsSurrogatePair(text, text.Length - 2) ? 2 : 1)];

    private static bool IsSpace(char letter) => char.IsWhiteSpace(letter) || letter is >= '\x1c' and <= '\x1f';
}
