using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace GatedFwa.Checkpoints;

/// <summary>Holds a JSON value against the .NET type it is to become, so that what differs can be said in the user's words.</summary>
internal static class JsonSchema
{
    /// <summary>Checks keys and types, all the way down.</summary>
    /// <param name="element">The value.</param>
    /// <param name="expected">What the serializer knows of the type.</param>
    /// <param name="source">What to call the file in errors.</param>
    /// <param name="path">Where in the file the value stands.</param>
    /// <exception cref="InputException">They differ.</exception>
    public static void Check(JsonElement element, JsonTypeInfo expected, string source, string path = "")
    {
        if (expected.Kind == JsonTypeInfoKind.Object) CheckObject(element, expected, source, path);
        else if (expected.Kind == JsonTypeInfoKind.Enumerable) CheckList(element, expected, source, path);
        else CheckValue(element, expected.Type, source, path);
    }

    /// <summary>What a value is, to go on with "is" in a sentence.</summary>
    public static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => "the text " + Phrase.Quote(element.GetString()!),
        JsonValueKind.Number => Phrase.Printable(element.GetRawText()),
        JsonValueKind kind => kind.ToString().ToLowerInvariant(),
    };

    private static void CheckObject(JsonElement element, JsonTypeInfo expected, string source, string path)
    {
        if (element.ValueKind != JsonValueKind.Object) throw Unexpected(element, "an object { … }", source, path);
        Dictionary<string, JsonPropertyInfo> known = expected.Properties.Where(property => property.Set is not null).ToDictionary(property => property.Name);
        foreach (JsonProperty property in element.EnumerateObject())
        {
            string name = property.Name;
            string place = Join(path, name);
            if (!known.TryGetValue(name, out JsonPropertyInfo? info))
            {
                throw new InputException(
                    $"{Phrase.Quote(source)} has the unknown key {Phrase.Quote(place)}{Phrase.DidYouMean(name, known.Keys)}; " +
                    "correct or remove it.");
            }

            if (property.Value.ValueKind == JsonValueKind.Null && info.IsSetNullable) continue;
            Check(
                property.Value,
                expected.Options.GetTypeInfo(Nullable.GetUnderlyingType(info.PropertyType) ?? info.PropertyType),
                source,
                place);
        }

        foreach (JsonPropertyInfo info in known.Values)
        {
            if (info.IsRequired && !element.TryGetProperty(info.Name, out _))
                throw new InputException($"{Phrase.Quote(source)} lacks the key {Phrase.Quote(Join(path, info.Name))}; add it.");
        }
    }

    private static void CheckList(JsonElement element, JsonTypeInfo expected, string source, string path)
    {
        if (element.ValueKind != JsonValueKind.Array) throw Unexpected(element, "a list [ … ]", source, path);
        JsonTypeInfo item = expected.Options.GetTypeInfo(expected.ElementType!);
        int index = 0;
        foreach (JsonElement value in element.EnumerateArray()) Check(value, item, source, $"{path}[{index++}]");
    }

    private static void CheckValue(JsonElement element, Type type, string source, string path)
    {
        bool isNumber = element.ValueKind == JsonValueKind.Number;
        (bool fits, string expected) = Type.GetTypeCode(type) switch
        {
            TypeCode.Boolean => (element.ValueKind is JsonValueKind.True or JsonValueKind.False, "true or false"),
            TypeCode.String => (element.ValueKind == JsonValueKind.String && element.GetString() is not null, "a text in quotation marks"),
            TypeCode.Int32 => (isNumber && element.TryGetInt32(out _), "a whole number"),
            TypeCode.Int64 => (isNumber && element.TryGetInt64(out _), "a whole number"),
            TypeCode.UInt64 => (isNumber && element.TryGetUInt64(out _), "a whole number of at least 0"),
            TypeCode.Single => (isNumber && float.IsFinite((float)element.GetDouble()), "a number"),
            TypeCode.Double => (isNumber && double.IsFinite(element.GetDouble()), "a number"),
            _ => (true, ""), // The serializer itself judges what no setting is made of so far.
        };
        if (!fits) throw Unexpected(element, expected, source, path);
    }

    private static string Join(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    private static InputException Unexpected(JsonElement element, string expected, string source, string path)
    {
        string subject = path.Length == 0 ? Phrase.Quote(source) : $"The key {Phrase.Quote(path)} of {Phrase.Quote(source)}";
        return new InputException($"{subject} is {Kind(element)} where {expected} is expected; correct it.");
    }
}
