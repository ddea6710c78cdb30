using GatedFwa.Models;

namespace GatedFwa.Cli;

/// <summary>A model's configuration as people would say it.</summary>
internal static class ModelWords
{
    /// <summary>The family in its usual name.</summary>
    public static string Attention(ModelConfig config) => Window(config) + (config.NativeSparse is { } sparse
        ? $", beside native sparse attention: {sparse.BlockCount} blocks of {sparse.BlockSize}"
        : "");

    private static string Window(ModelConfig config) => (config.Window, config.Gate) switch
    {
        ({ } window, true) => $"GatedFWA, window {window}",
        ({ } window, false) => $"sliding window {window}, no gate",
        (null, true) => "full causal with a gate (forgetting attention)",
        (null, false) => "full causal softmax",
    };

    /// <summary>How large it is.</summary>
    public static string Size(ModelConfig config)
    {
        long parameters = ParameterPlan.Of(config).Sum(parameter => parameter.Shape.Count);
        return $"{Words.Count(parameters)} parameters in {Words.Count(config.Layers, "layer")} of width {config.Width}";
    }

    /// <summary>How far back a model with a window can look, and why.</summary>
    public static string Reach(ModelConfig config) =>
        $"a window of {Words.Count(config.Window!.Value)} in {Words.Count(config.Layers, "layer")} reaches " +
        $"{Words.Count(config.Reach!.Value)} tokens back";

    public static string Heads(ModelConfig config) =>
        $"{Words.Count(config.Heads, "head")} of {config.HeadSize}" +
        (config.KeyHeads == config.Heads ? "" : $" over {Words.Count(config.KeyHeads, "key head")}");

    public static string FeedForward(ModelConfig config) =>
        config.FeedForwardWidth == 0 ? "no feed-forward" : $"SwiGLU of {config.FeedForwardWidth}";

    /// <summary>The other pieces of the layer.</summary>
    public static IEnumerable<string> Pieces(ModelConfig config)
    {
        if (config.TokenShift) yield return "token shift";
        if (config.QkNorm) yield return "QK norm";
        if (config.Rotary) yield return "rotary positions";
        yield return config.TiedEmbedding ? "tied embedding" : "an output projection of its own";
        if (config.Dropout > 0) yield return $"dropout {Words.Number(config.Dropout, "0.##")}";
    }
}
