using GatedFwa.Models;

namespace GatedFwa.Checkpoints;

/// <summary>
/// Holds a file of parameters against the configuration it is to serve: every tensor there, of its shape and type, and no other.
/// </summary>
internal static class WeightsCheck
{
    private const string Remedy = "the two do not belong together, copy the model's whole folder again";

    /// <exception cref="InputException">They differ; the sentence names the first tensor that does.</exception>
    public static void Run(SafetensorsFile file, ModelConfig config)
    {
        string name = Phrase.Quote(file.Name);
        var planned = new HashSet<string>();
        foreach (ParameterSpec spec in ParameterPlan.Of(config))
        {
            string tensor = Phrase.Quote(spec.Name);
            if (!file.Contains(spec.Name))
                throw new InputException($"{name} has no tensor {tensor}, which {ModelDirectory.ConfigFile} asks for; {Remedy}.");
            SafetensorsEntry entry = file[spec.Name];
            if (entry.Shape != spec.Shape)
            {
                throw new InputException(
                    $"Tensor {tensor} of {name} has the shape {entry.Shape} where {ModelDirectory.ConfigFile} asks for {spec.Shape}; " +
                    $"{Remedy}.");
            }

            SafetensorsConversion.Check(entry.Type, integers: false, $"Tensor {tensor} of {name}");
            planned.Add(spec.Name);
        }

        if (file.Entries.FirstOrDefault(entry => !planned.Contains(entry.Name)) is { } extra)
        {
            throw new InputException(
                $"{name} holds the tensor {Phrase.Quote(extra.Name)}, which {ModelDirectory.ConfigFile} does not ask for; {Remedy}.");
        }
    }
}
