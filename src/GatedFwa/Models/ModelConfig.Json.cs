using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace GatedFwa.Models;

/// <content>Reading and writing <c>config.json</c>.</content>
public sealed partial record ModelConfig
{
    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        NewLine = "\n",
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
    };

    /// <summary>Reads a configuration, strictly: an unknown, repeated or missing key is refused, since a setting that is silently
    /// ignored trains another model than the one that was asked for.</summary>
    /// <param name="json">The text of <c>config.json</c>.</param>
    /// <returns>A configuration that makes a model.</returns>
    /// <exception cref="InputException">The text is not such a configuration.</exception>
    public static ModelConfig Parse(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            CheckKeys(document.RootElement);
            return document.Deserialize<ModelConfig>(Json)!.Validate();
        }
        catch (JsonException exception) when (exception.Path is { Length: > 2 } path)
        {
            throw new InputException($"The model configuration's {path[2..]} has a value of the wrong kind or size.", exception);
        }
        catch (JsonException exception)
        {
            throw new InputException($"The model configuration is not valid JSON (line {exception.LineNumber + 1}).", exception);
        }
    }

    /// <summary>Writes every setting, also those that were left at their defaults.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json) + "\n";

    private static void CheckKeys(JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object) throw new InputException("The model configuration must be a JSON object.");
        IList<JsonPropertyInfo> known = Json.GetTypeInfo(typeof(ModelConfig)).Properties;
        var seen = new HashSet<string>();
        foreach (JsonProperty property in root.EnumerateObject())
        {
            if (!known.Any(candidate => candidate.Name == property.Name))
                throw new InputException($"The model configuration has the unknown key \"{property.Name}\"; the known keys are {string.Join(", ", known.Select(key => key.Name))}.");
            if (!seen.Add(property.Name)) throw new InputException($"The model configuration has the key \"{property.Name}\" twice.");
        }

        if (known.FirstOrDefault(key => key.IsRequired && !seen.Contains(key.Name)) is { } missing)
            throw new InputException($"The model configuration has no {missing.Name}; add it.");
    }
}
