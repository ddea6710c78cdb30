using System.Globalization;
using System.Text.Json;
using GatedFwa.Checkpoints;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>One line of a task's file. What a field should be and is not becomes one sentence with file, line and field.</summary>
/// <param name="line">The object.</param>
/// <param name="place">The file and the line.</param>
/// <param name="path">The fields that lead to the object, each with its full stop.</param>
internal readonly struct TaskLine(JsonElement line, string place, string path = "")
{
    /// <summary>The text of a field.</summary>
    public string Text(string field) => AsText(field, Required(field));

    /// <summary>The texts of a field that holds a list of them.</summary>
    /// <param name="field">The field.</param>
    /// <param name="least">How many there must be.</param>
    public IReadOnlyList<string> Texts(string field, int least = 1)
    {
        JsonElement list = Required(field);
        if (list.ValueKind != JsonValueKind.Array) throw Unexpected(field, list, "a list of texts");
        TaskLine self = this;
        string[] texts = [.. list.EnumerateArray().Select((item, index) => self.AsText($"{field}[{index}]", item))];
        return texts.Length >= least ? texts : throw Wrong(field, $"has {texts.Length} entries where at least {least} are needed");
    }

    /// <summary>The object under a field.</summary>
    public TaskLine Part(string field)
    {
        JsonElement part = Required(field);
        return part.ValueKind == JsonValueKind.Object
            ? new TaskLine(part, place, $"{path}{field}.")
            : throw Unexpected(field, part, "an object { … }");
    }

    /// <summary>
    /// The number of an answer, from 0: written as a number or as text, or as true or false where there are two answers (copies of
    /// one data set differ in it).
    /// </summary>
    /// <param name="field">The field.</param>
    /// <param name="answers">How many answers there are.</param>
    /// <param name="first">The number that the file gives the first.</param>
    public int Answer(string field, int answers, int first = 0)
    {
        JsonElement value = Required(field);
        int? number = value.ValueKind switch
        {
            JsonValueKind.Number when value.TryGetInt32(out int whole) => whole,
            JsonValueKind.String when int.TryParse(value.GetString(), NumberStyles.None, CultureInfo.InvariantCulture, out int written) =>
                written,
            JsonValueKind.True when answers == 2 => first + 1,
            JsonValueKind.False when answers == 2 => first,
            _ => null,
        };
        return number - first is { } answer && answer >= 0 && answer < answers
            ? answer
            : throw Unexpected(field, value, $"the number of an answer, {first} to {first + answers - 1},");
    }

    /// <summary>The sentence for a field that cannot be used: "the field "x" …".</summary>
    public InputException Wrong(string field, string problem) =>
        new($"{place}: the field {Phrase.Quote(path + field)} {problem}; correct the line.");

    private string AsText(string field, JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Unexpected(field, value, "a text in quotation marks");

    private JsonElement Required(string field) =>
        line.TryGetProperty(field, out JsonElement value) ? value : throw Wrong(field, "is missing");

    private InputException Unexpected(string field, JsonElement actual, string expected) =>
        Wrong(field, $"is {JsonSchema.Kind(actual)} where {expected} is expected");
}
