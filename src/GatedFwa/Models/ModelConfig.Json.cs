using System.Text;
using GatedFwa.Checkpoints;

namespace GatedFwa.Models;

/// <content>Reading and writing <c>config.json</c>.</content>
public sealed partial record ModelConfig
{
    /// <summary>Reads a configuration, strictly: an unknown, repeated or missing key is refused, since a setting that is silently
    /// ignored trains another model than the one that was asked for.</summary>
    /// <param name="json">The text of <c>config.json</c>.</param>
    /// <returns>A configuration that makes a model.</returns>
    /// <exception cref="InputException">The text is not such a configuration.</exception>
    public static ModelConfig Parse(string json) => Parse(Encoding.UTF8.GetBytes(json));

    /// <summary>Reads a configuration from UTF-8, as strictly.</summary>
    /// <param name="json">The content of <c>config.json</c>.</param>
    /// <param name="source">What to call it in errors.</param>
    /// <returns>A configuration that makes a model.</returns>
    /// <exception cref="InputException">The content is not such a configuration.</exception>
    public static ModelConfig Parse(ReadOnlyMemory<byte> json, string source = "config.json") =>
        StrictJson.Parse<ModelConfig>(json, source).Validate();

    /// <summary>Writes every setting, also those that were left at their defaults.</summary>
    public string ToJson() => StrictJson.Write(this, SettingsJson.Default.ModelConfig);
}
