namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>COPA (Roemmele et al. 2011): which of two is the cause, or the effect.</summary>
internal static class Copa
{
    public static MultipleChoice Task { get; } = new("copa", "which of two is the cause, or the effect", Read, hasNorm: false);

    public static Choice Read(TaskLine line)
    {
        string question = line.Text("question");
        string connector = question switch
        {
            "cause" => "because",
            "effect" => "therefore",
            _ => throw line.Wrong("question", "is neither \"cause\" nor \"effect\""),
        };
        string premise = PythonText.WithoutLast(PythonText.Strip(line.Text("premise"))); // Its full stop.
        // The answers bring a space of their own, so that two join them: as the harness has it.
        return Choice.After($"{premise} {connector}", [Joined(line, "choice1"), Joined(line, "choice2")], line.Answer("label", 2));
    }

    private static string Joined(TaskLine line, string field)
    {
        string choice = line.Text(field);
        if (choice.Length == 0) throw line.Wrong(field, "is empty");
        return $" {choice[..1].ToLowerInvariant()}{choice[1..]}";
    }
}
