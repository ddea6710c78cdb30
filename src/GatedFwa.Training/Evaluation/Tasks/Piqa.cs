namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>PIQA (Bisk et al. 2020): which of two ways reaches a goal.</summary>
internal static class Piqa
{
    public static MultipleChoice Task { get; } = new("piqa", "which of two ways reaches a goal", Read, hasNorm: true);

    public static Choice Read(TaskLine line) =>
        Choice.After($"Question: {line.Text("goal")}\nAnswer:", [line.Text("sol1"), line.Text("sol2")], line.Answer("label", 2));
}
