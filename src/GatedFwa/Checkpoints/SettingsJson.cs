using System.Text.Json.Serialization;
using GatedFwa.Models;
using GatedFwa.Tokenizers;

namespace GatedFwa.Checkpoints;

/// <summary>
/// How settings of a model are written, in code that is there when a process starts. Reading is left to reflection: generated code would
/// set what a file leaves out to zero instead of its default.
/// </summary>
[JsonSourceGenerationOptions(
    GenerationMode = JsonSourceGenerationMode.Serialization,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    IgnoreReadOnlyProperties = true)]
[JsonSerializable(typeof(ModelConfig))]
[JsonSerializable(typeof(ByteTokenizer.Settings), TypeInfoPropertyName = "TokenizerSettings")]
internal sealed partial class SettingsJson : JsonSerializerContext;
