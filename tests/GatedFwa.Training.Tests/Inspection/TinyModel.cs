using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Training.Tests.Inspection;

/// <summary>A model small enough for plain loops, with weights large enough that scores and gates differ from token to token.</summary>
internal static class TinyModel
{
    public static readonly ModelConfig Config = new()
    {
        VocabularySize = 32,
        Layers = 2,
        Width = 16,
        Heads = 2,
        KeyHeads = 1,
        Window = 3,
        FeedForwardWidth = 24,
        TiedEmbedding = false,
    };

    public static LanguageModel Create(ModelConfig config, TestBackend backend)
    {
        var model = new LanguageModel(config, seed: 1, backend.Device, backend.Activations);
        var random = new CounterRandom(7);
        for (int i = 0; i < model.Parameters.Count; i++)
        {
            Parameter parameter = model.Parameters[i];
            // Norms stay near 1, and the gate's bias near its own.
            bool isOne = parameter.Name.Contains("norm", StringComparison.Ordinal) || parameter.Name.EndsWith("bias", StringComparison.Ordinal);
            float mean = isOne ? 1 : 0;
            CounterRandom stream = random.Split((ulong)i);
            parameter.Value.CopyFrom([.. Enumerable.Range(0, (int)parameter.Value.Count).Select(at => mean + (0.3f * stream.Normal(at)))]);
        }

        return model;
    }
}
