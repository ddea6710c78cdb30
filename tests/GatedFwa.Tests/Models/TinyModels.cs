using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Models;

/// <summary>Models small enough for double loops, with every option of the layer on or off.</summary>
internal static class TinyModels
{
    public static readonly ModelConfig GatedFwa = new()
    {
        VocabularySize = 37, Layers = 2, Width = 32, Heads = 4, KeyHeads = 2, Window = 7, FeedForwardWidth = 48,
    };

    /// <summary>The mixers of the paper's comparison, and each option by itself.</summary>
    public static readonly IReadOnlyDictionary<string, ModelConfig> All = new Dictionary<string, ModelConfig>
    {
        ["GatedFWA"] = GatedFwa,
        ["sliding window"] = GatedFwa with { Gate = false },
        ["gated full"] = GatedFwa with { Window = null },
        ["full softmax"] = GatedFwa with { Gate = false, Window = null },
        ["no token shift"] = GatedFwa with { TokenShift = false },
        ["no QK norm"] = GatedFwa with { QkNorm = false },
        ["no rotary"] = GatedFwa with { Rotary = false },
        ["no feed-forward"] = GatedFwa with { FeedForwardWidth = 0 },
        ["untied"] = GatedFwa with { TiedEmbedding = false },
        ["bare"] = GatedFwa with { Gate = false, TokenShift = false, QkNorm = false, Rotary = false, Window = null, TiedEmbedding = false },
        ["one key head"] = GatedFwa with { KeyHeads = 1, Window = 2 },
        ["a key head for each"] = GatedFwa with { KeyHeads = 4, Window = 16 },
        ["wider heads"] = GatedFwa with { Width = 64, Window = 5 }, // whose 16-bit halves are 16 bytes
        ["native sparse"] = GatedFwa with { Window = 3, NativeSparse = new() { BlockSize = 2, BlockCount = 4 } },
        ["native sparse, bare"] = GatedFwa with
        {
            Gate = false, TokenShift = false, QkNorm = false, KeyHeads = 1, Window = null,
            NativeSparse = new() { BlockSize = 5, BlockCount = 2 },
        },
    };

    public static TheoryData<string> Names => [.. All.Keys];

    /// <summary>A model whose weights are large enough to matter: at N(0, 0.02) a tiny model barely differs from its embedding.</summary>
    public static LanguageModel Lively(ModelConfig config, ulong seed = 1) => Lively(config, TestBackend.Cpu, seed);

    /// <summary>The same on a backend, with the weights that its products read: the reference is given those.</summary>
    public static LanguageModel Lively(ModelConfig config, TestBackend backend, ulong seed = 1)
    {
        var model = new LanguageModel(config, seed, backend.Device, backend.Activations);
        var random = new CounterRandom(99);
        for (int i = 0; i < model.Parameters.Count; i++)
        {
            Parameter parameter = model.Parameters[i];
            CounterRandom stream = random.Split((ulong)i);
            bool isMatrix = parameter.Value.Shape.Rank == 2;
            parameter.Value.CopyFrom(
                backend.Round([.. parameter.Value.ToArray().Select((value, n) => (isMatrix ? 0 : value) + (0.25f * stream.Normal(n)))]));
        }

        return model;
    }

    public static int[] Tokens(int count, ulong seed = 3, int vocabulary = 37)
    {
        var random = new CounterRandom(seed);
        return [.. Enumerable.Range(0, count).Select(i => (int)random.Below(i, vocabulary))];
    }
}
