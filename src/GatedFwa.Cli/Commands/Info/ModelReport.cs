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
        using SafetensorsFile weights = ModelDirectory.OpenWeights(folder);
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
            config.IsBounded
                ? $"{Words.Bytes(WindowBytes(config))}, however long the text"
                : $"grows with the text: {Words.Bytes(TokenBytes(config))} a token" +
                    (config.Window is null ? "" : $", beside {Words.Bytes(WindowBytes(config))}"));
        if (RunReport.Read(folder) is { } run) Facts.Print("training", run.ToString());
    }

    /// <summary>A ring of keys, values and gates a layer.</summary>
    private static long WindowBytes(ModelConfig config) => sizeof(float) * RingFloats(config) * config.Window!.Value * config.Layers;

    /// <summary>What each token adds: to a ring without a window; a key, a value and its share of a block's means.</summary>
    private static long TokenBytes(ModelConfig config)
    {
        double floats = config.Window is null ? RingFloats(config) : 0;
        if (config.NativeSparse is { } sparse) floats += KeyFloats(config) * (1 + (1.0 / sparse.BlockSize));
        return (long)Math.Ceiling(sizeof(float) * floats * config.Layers);
    }

    private static long RingFloats(ModelConfig config) => KeyFloats(config) + (config.Gate ? config.Heads : 0);

    private static long KeyFloats(ModelConfig config) => 2L * config.KeyHeads * config.HeadSize;
}
