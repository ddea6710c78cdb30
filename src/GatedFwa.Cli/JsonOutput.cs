using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace GatedFwa.Cli;

/// <summary>One JSON document on stdout, for programs.</summary>
internal static class JsonOutput
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        // A perplexity may be beyond every number: "Infinity".
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        // Relaxed: the output is no part of a web page, and × or – should stay readable.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static void Write<T>(T document) => Console.Out.WriteLine(JsonSerializer.Serialize(document, Options));
}
