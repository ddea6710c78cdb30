using System.Text.Json;
using GatedFwa.Training;

namespace GatedFwa.Cli.Commands.Info;

/// <summary>How far the run in a folder came.</summary>
/// <param name="Step">Steps in its metrics.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="Loss">The last step's loss in nats a token.</param>
/// <param name="ValidationBitsPerByte">The latest measurement on text held out, if there is one.</param>
/// <param name="ValidationAccuracy">The latest share of right answers in a task, if there is one.</param>
internal sealed record RunReport(int Step, int Steps, double Loss, double? ValidationBitsPerByte, double? ValidationAccuracy)
{
    /// <summary>What the folder's metrics say; null where it holds no run, or one without a step.</summary>
    public static RunReport? Read(string folder)
    {
        string metrics = Path.Combine(folder, "metrics.jsonl");
        if (!Trainer.HasRun(folder) || !File.Exists(metrics)) return null;
        int steps = Trainer.ReadSettings(folder).Options.Steps;
        RunReport? report = null;
        try
        {
            foreach (string line in File.ReadLines(metrics))
            {
                using JsonDocument document = JsonDocument.Parse(line);
                JsonElement root = document.RootElement;
                double? Latest(string key, double? before) =>
                    root.TryGetProperty(key, out JsonElement measured) ? measured.GetDouble() : before;
                report = new(
                    root.GetProperty("step").GetInt32(),
                    steps,
                    root.GetProperty("loss").GetDouble(),
                    Latest("validation_bits_per_byte", report?.ValidationBitsPerByte),
                    Latest("validation_accuracy", report?.ValidationAccuracy));
            }
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            // A run that is being written may end in half a line; what came before it stands.
        }

        return report;
    }

    public override string ToString() =>
        $"step {Words.Count(Step)} of {Words.Count(Steps)}, loss {Words.Number(Loss, "F3")}" +
        (ValidationBitsPerByte is { } bits ? $", {Words.Number(bits, "F3")} bits per byte on validation" : "") +
        (ValidationAccuracy is { } accuracy ? $", {Words.Number(accuracy * 100, "F1")}% of the answers right" : "");
}
