namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>BoolQ (Clark et al. 2019): yes or no, from a passage.</summary>
internal static class BoolQ
{
    private static readonly string[] Answers = ["no", "yes"];

    public static MultipleChoice Task { get; } = new("boolq", "yes or no, from a passage", Read, hasNorm: false);

    public static Choice Read(TaskLine line) => Choice.After(
        $"{line.Text("passage")}\nQuestion: {line.Text("question")}?\nAnswer:",
        Answers,
        line.Answer("label", Answers.Length));
}
