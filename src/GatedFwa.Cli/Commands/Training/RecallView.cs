using GatedFwa.Models;
using GatedFwa.Training;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>What is said of a task of recall: before a training, and after it.</summary>
internal static class RecallView
{
    /// <summary>Says what is to be learned, and warns where the window makes that impossible.</summary>
    public static void Announce(RecallTask task, ModelConfig model)
    {
        Console.Error.WriteLine($"Task: {Describe(task)}.");
        if (model.Reach is not { } reach || reach >= task.FarthestAnswer) return;
        int window = ((task.FarthestAnswer + model.Layers - 1) / model.Layers) + 1;
        Console.Error.WriteLine(
            $"Warning: {ModelWords.Reach(model)}, and answers lie up to {Words.Count(task.FarthestAnswer)} back: " +
            $"it cannot find them all. --window {window} is the least that reaches.");
    }

    /// <summary>Writes what a finished run has reached.</summary>
    public static void Write(RecallTask task, ModelConfig model, TrainingResult result, string output, bool json)
    {
        ValidationResult reached = result.Validation ?? default;
        if (json)
        {
            JsonOutput.Write(new
            {
                Run = output,
                Task = task.Name,
                task.Length,
                task.Pairs,
                task.Rewrites,
                task.VocabularySize,
                Attention = ModelWords.Attention(model),
                model.Width,
                reached.Accuracy,
                reached.Loss,
                model.Reach,
                task.FarthestAnswer,
                result.Solved,
                result.Step,
                result.Steps,
                Seconds = result.Elapsed.TotalSeconds,
            });
            return;
        }

        Facts.Print("task", Describe(task));
        Facts.Print("model", $"{ModelWords.Attention(model)}; {Words.Count(model.Layers, "layer")} of width {model.Width}");
        string accuracy = Words.Number((reached.Accuracy ?? 0) * 100, "F2");
        Facts.Print("accuracy", $"{accuracy}% of {Words.Count((long)task.TestExamples * task.Pairs)} answers");
        Facts.Print("loss", $"{Words.Number(reached.Loss, "F4")} nats an answer");
        string reach = model.Reach is { } tokens ? $"{Words.Count(tokens)} tokens back" : "all tokens before";
        Facts.Print("reach", $"{reach}; the farthest answer lies {Words.Count(task.FarthestAnswer)} tokens back");
        Facts.Print(
            "training",
            $"{Words.Count(result.Step)} of {Words.Count(result.Steps)} steps in {Words.Duration(result.Elapsed)}" +
            (result.Solved ? ", stopped since it is solved" : ""));
        Facts.Print("run", output);
    }

    private static string Describe(RecallTask task) =>
        $"{task.Name}, {Words.Count(task.Length)} tokens, {Words.Count(task.Pairs, "pair")}" +
        (task.Rewrites > 0 ? $", {Words.Count(task.Rewrites)} of them written again" : "") +
        $", vocabulary {Words.Count(task.VocabularySize)}";
}
