namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>
/// WinoGrande (Sakaguchi et al. 2019): which of two names fills a gap. The answer stands in the context, and what is scored is the rest
/// of the sentence, which both share (partial evaluation).
/// </summary>
internal static class WinoGrande
{
    public static MultipleChoice Task { get; } = new("winogrande", "which of two names fills a gap", Read, hasNorm: false);

    public static Choice Read(TaskLine line)
    {
        string sentence = line.Text("sentence");
        int gap = sentence.IndexOf('_', StringComparison.Ordinal);
        if (gap < 0) throw line.Wrong("sentence", "has no gap \"_\"");
        string before = sentence[..gap], rest = " " + PythonText.Strip(sentence[(gap + 1)..]);
        string[] options = [line.Text("option1"), line.Text("option2")];
        return new Choice(
            [.. options.Select(option => new Continuation(before + option, rest))],
            [.. options.Select(PythonText.Length)],
            line.Answer("answer", options.Length, first: 1));
    }
}
