namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>SciQ (Welbl et al. 2017): science questions, each with a text that supports the answer.</summary>
internal static class SciQ
{
    private static readonly string[] Answers = ["distractor1", "distractor2", "distractor3", "correct_answer"];

    public static MultipleChoice Task { get; } = new("sciq", "science questions with a supporting text", Read, hasNorm: true);

    public static Choice Read(TaskLine line) => Choice.After(
        $"{PythonText.StripStart(line.Text("support"))}\nQuestion: {line.Text("question")}\nAnswer:",
        [.. Answers.Select(line.Text)],
        gold: Answers.Length - 1);
}
