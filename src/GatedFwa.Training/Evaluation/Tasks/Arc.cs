namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>ARC (Clark et al. 2018): science questions of school, in an easy and a challenging set.</summary>
internal static class Arc
{
    public static MultipleChoice Easy { get; } = new("arc_easy", "science questions of school", Read, hasNorm: true);

    public static MultipleChoice Challenge { get; } = new("arc_challenge", "harder science questions of school", Read, hasNorm: true);

    public static Choice Read(TaskLine line) => Labelled(line, $"Question: {line.Text("question")}\nAnswer:", line.Text("answerKey"));

    /// <summary>A question whose answers have labels (letters, or in some lines numbers), one of which is the key.</summary>
    internal static Choice Labelled(TaskLine line, string context, string key)
    {
        TaskLine choices = line.Part("choices");
        IReadOnlyList<string> texts = choices.Texts("text", least: 2), labels = choices.Texts("label");
        if (labels.Count != texts.Count) throw choices.Wrong("label", $"has {labels.Count} entries where \"text\" has {texts.Count}");
        int gold = labels.ToList().IndexOf(key);
        if (gold < 0) throw line.Wrong("answerKey", $"is none of the labels {string.Join(", ", labels)}");
        return Choice.After(context, texts, gold);
    }
}
