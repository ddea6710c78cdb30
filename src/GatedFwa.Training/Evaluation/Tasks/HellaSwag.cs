using System.Text.RegularExpressions;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>HellaSwag (Zellers et al. 2019): how an everyday scene goes on.</summary>
internal static partial class HellaSwag
{
    public static MultipleChoice Task { get; } = new("hellaswag", "how a scene goes on", Read, hasNorm: true);

    public static Choice Read(TaskLine line)
    {
        IReadOnlyList<string> endings = line.Texts("endings", least: 2);
        string context = $"{line.Text("activity_label")}: {line.Text("ctx_a")} {PythonText.Capitalize(line.Text("ctx_b"))}";
        return Choice.After(Clean(context), [.. endings.Select(Clean)], line.Answer("label", endings.Count));
    }

    /// <summary>Takes out what WikiHow's pages left behind: "[header]", "[title]", "[step]".</summary>
    internal static string Clean(string text)
    {
        text = PythonText.Strip(text).Replace(" [title]", ". ", StringComparison.Ordinal);
        return Brackets().Replace(text, "").Replace("  ", " ", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\[.*?\]", RegexOptions.CultureInvariant)]
    private static partial Regex Brackets();
}
