using System.Text.Json.Serialization;

namespace GatedFwa.Training.Runs;

/// <summary>
/// How a run writes of itself, in code that is there when a process starts. Reading is left to reflection: generated code would set
/// what a file leaves out to zero.
/// </summary>
[JsonSourceGenerationOptions(
    GenerationMode = JsonSourceGenerationMode.Serialization,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    IgnoreReadOnlyProperties = true)]
[JsonSerializable(typeof(RunState))]
[JsonSerializable(typeof(MetricsLine))]
internal sealed partial class RunJson : JsonSerializerContext;
