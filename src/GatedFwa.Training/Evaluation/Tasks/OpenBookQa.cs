namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>OpenBookQA (Mihaylov et al. 2018): a sentence that one of four ends makes true.</summary>
internal static class OpenBookQa
{
    public static MultipleChoice Task { get; } = new("openbookqa", "which end makes a sentence true", Read, hasNorm: true);

    public static Choice Read(TaskLine line) =>
        Arc.Labelled(line, line.Text("question_stem"), PythonText.StripStart(line.Text("answerKey")));
}
