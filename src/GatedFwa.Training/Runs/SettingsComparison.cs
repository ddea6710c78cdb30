using System.Text.Json.Nodes;
using GatedFwa.Checkpoints;

namespace GatedFwa.Training.Runs;

/// <summary>Whether something may be resumed with given settings: with its own only.</summary>
/// <param name="what">What is resumed, such as "The run".</param>
/// <param name="folder">Where it lies.</param>
internal sealed class SettingsComparison(string what, string folder)
{
    // Where files lie and how often they are written changes no result; what was read is compared by content.
    private static readonly string[] Free = ["data", "output", "checkpoint_steps", "checkpoint_seconds"];

    private string Remedy => $"or start a new {what.Split(' ')[^1]} in another folder.";

    /// <summary>Refuses settings that differ from a checkpoint's.</summary>
    /// <exception cref="InputException">One differs; the message names it.</exception>
    public static void Check(RunState saved, RunState asked)
    {
        var comparison = new SettingsComparison("The run", asked.Options.Output);
        comparison.Check(saved.Model, asked.Model);
        comparison.Check(saved.Options, asked.Options);
        comparison.CheckText(saved.DataFingerprint, asked.DataFingerprint);
    }

    /// <summary>Refuses a record of settings that differs from the one saved.</summary>
    /// <exception cref="InputException">One differs; the message names it.</exception>
    public void Check<T>(T saved, T asked) => Check(Parse(saved), Parse(asked));

    /// <summary>Refuses one setting that differs.</summary>
    /// <exception cref="InputException">It differs.</exception>
    public void Check(string name, string saved, string asked)
    {
        if (saved == asked) return;
        throw new InputException(
            $"{what} in \"{folder}\" was started with {name} {saved}, not {asked}; resume without that setting, {Remedy}");
    }

    /// <summary>Refuses another text.</summary>
    /// <exception cref="InputException">It is another.</exception>
    public void CheckText(string saved, string asked)
    {
        if (saved == asked) return;
        throw new InputException($"{what} in \"{folder}\" learned from another text; resume it with the text it began with, {Remedy}");
    }

    private void Check(JsonObject saved, JsonObject asked)
    {
        foreach ((string name, JsonNode? value) in saved)
        {
            if (Free.Contains(name) || JsonNode.DeepEquals(value, asked[name])) continue;
            // Of a task the one setting, not all of them.
            if (value is JsonObject left && asked[name] is JsonObject right) Check(left, right);
            Check(name, Text(value), Text(asked[name]));
        }
    }

    private static JsonObject Parse<T>(T settings) => JsonNode.Parse(StrictJson.Write(settings))!.AsObject();

    private static string Text(JsonNode? value) => value?.ToJsonString() ?? "none";
}
