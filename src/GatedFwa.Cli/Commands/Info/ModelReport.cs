using System.Text.Json;
using GatedFwa.Checkpoints;
using GatedFwa.Models;

namespace GatedFwa.Cli.Commands.Info;

/// <summary>What a model directory or a run holds. Reads headers only, so that a large model costs nothing.</summary>
internal static class ModelReport
{
    public static void Write(string folder, bool json)
    {
        ModelConfig config = ModelDirectory.LoadConfig(folder);
        long parameters = ParameterPlan.Of(config).Sum(parameter => parameter.Shape.Count);
        string weightsPath = Path.Combine(folder, ModelDirectory.WeightsFile);
        using SafetensorsFile weights = SafetensorsFile.Open(weightsPath);
        if (json)
        {
            using JsonDocument settings = JsonDocument.Parse(config.ToJson());
            JsonOutput.Write(new
            {
                Path = folder,
                Parameters = parameters,
                WeightBytes = weights.FileBytes,
                Config = settings.RootElement,
                Training = RunReport.Read(folder),
            });
            return;
        }

        Facts.Print("model", folder);
        Facts.Print("attention", ModelWords.Attention(config));
        Facts.Print("also", string.Join(", ", ModelWords.Pieces(config)));
        Facts.Print("layers", $"{config.Layers} of width {config.Width}: {ModelWords.Heads(config)}, {ModelWords.FeedForward(config)}");
        Facts.Print("vocabulary", Words.Count(config.VocabularySize));
        Facts.Print("parameters", Words.Count(parameters));
        Facts.Print("weights", $"{ModelDirectory.WeightsFile}, {Words.Bytes(weights.FileBytes)}");
        Facts.Print(
            "state of a text",
            config.Window is null ? "grows with the text" : $"{Words.Bytes(StateBytes(config))}, however long the text");
        if (RunReport.Read(folder) is { } run) Facts.Print("training", run.ToString());
    }

    /// <summary>A ring of keys, values and gates a layer.</summary>
    private static long StateBytes(ModelConfig config)
    {
        long perToken = (2L * config.KeyHeads * config.HeadSize) + (config.Gate ? config.Heads : 0);
        return sizeof(float) * perToken * config.Window!.Value * config.Layers;
    }
}
