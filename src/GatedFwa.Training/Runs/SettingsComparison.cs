using System.Text.Json.Nodes;
using GatedFwa.Checkpoints;

namespace GatedFwa.Training.Runs;

/// <summary>Whether a run may be resumed with given settings: with its own only.</summary>
internal static class SettingsComparison
{
    // Where files lie and how often they are written changes no result; what was read is compared by content.
    private static readonly string[] Free = ["data", "output", "checkpoint_steps", "checkpoint_seconds"];

    /// <summary>Refuses settings that differ from a checkpoint's.</summary>
    /// <exception cref="InputException">One differs; the message names it.</exception>
    public static void Check(RunState saved, RunState asked)
    {
        if (FirstDifference(saved.Model, asked.Model) is { } inModel) throw Refusal(asked, inModel);
        if (FirstDifference(saved.Options, asked.Options) is { } inOptions) throw Refusal(asked, inOptions);
        if (saved.DataFingerprint != asked.DataFingerprint)
        {
            throw new InputException(
                $"The run in \"{asked.Options.Output}\" learned from another text; " +
                "resume it with the text it began with, or start a new run in another folder.");
        }
    }

    private static InputException Refusal(RunState asked, (string Name, string Saved, string Asked) difference) => new(
        $"The run in \"{asked.Options.Output}\" was started with {difference.Name} {difference.Saved}, not {difference.Asked}; " +
        "resume without that setting, or start a new run in another folder.");

    private static (string Name, string Saved, string Asked)? FirstDifference<T>(T saved, T asked)
    {
        JsonObject left = Parse(saved), right = Parse(asked);
        foreach ((string name, JsonNode? value) in left)
        {
            if (!Free.Contains(name) && !JsonNode.DeepEquals(value, right[name])) return (name, Text(value), Text(right[name]));
        }

        return null;
    }

    private static JsonObject Parse<T>(T settings) => JsonNode.Parse(StrictJson.Write(settings))!.AsObject();

    private static string Text(JsonNode? value) => value?.ToJsonString() ?? "none";
}
