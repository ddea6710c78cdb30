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
            JsonOutput.Write(new { Path = folder, Parameters = parameters, WeightBytes = weights.FileBytes, Config = settings.RootElement });
            return;
        }

        Facts.Print("model", folder);
        Facts.Print("attention", Attention(config));
        Facts.Print("also", string.Join(", ", Pieces(config)));
        Facts.Print("layers", $"{config.Layers} of width {config.Width}: {Heads(config)}, SwiGLU of {config.FeedForwardWidth}");
        Facts.Print("vocabulary", Words.Count(config.VocabularySize));
        Facts.Print("parameters", Words.Count(parameters));
        Facts.Print("weights", $"{ModelDirectory.WeightsFile}, {Words.Bytes(weights.FileBytes)}");
        Facts.Print("state of a text", config.Window is null ? "grows with the text" : $"{Words.Bytes(StateBytes(config))}, however long the text");
    }

    /// <summary>The family in its usual name.</summary>
    private static string Attention(ModelConfig config) => (config.Window, config.Gate) switch
    {
        ({ } window, true) => $"GatedFWA: a window of {window} keys with a learned decay",
        ({ } window, false) => $"sliding window of {window} keys",
        (null, true) => "full causal with a learned decay (forgetting attention)",
        (null, false) => "full causal softmax",
    };

    private static string Heads(ModelConfig config) =>
        $"{config.Heads} heads of {config.HeadSize}" + (config.KeyHeads == config.Heads ? "" : $" over {config.KeyHeads} key heads");

    private static IEnumerable<string> Pieces(ModelConfig config)
    {
        if (config.TokenShift) yield return "token shift";
        if (config.QkNorm) yield return "QK norm";
        if (config.Rotary) yield return "rotary positions";
        yield return config.TiedEmbedding ? "tied embedding" : "an output projection of its own";
        if (config.Dropout > 0) yield return $"dropout {Words.Number(config.Dropout, "0.##")}";
    }

    /// <summary>A ring of keys, values and gates a layer.</summary>
    private static long StateBytes(ModelConfig config)
    {
        long perToken = (2L * config.KeyHeads * config.HeadSize) + (config.Gate ? config.Heads : 0);
        return sizeof(float) * perToken * config.Window!.Value * config.Layers;
    }
}
