using GatedFwa.Models;

namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>The model of 124 million parameters that is trained and run here.</summary>
internal static class GpuModel
{
    /// <summary>GPT-2's, rounded up to a multiple of 128 as is common on GPUs.</summary>
    public const int Vocabulary = 50_304;

    public static LanguageModel New(GpuClock gpu) =>
        new(ModelConfig.Preset("small") with { VocabularySize = Vocabulary }, device: gpu.Device);

    /// <summary>Any tokens.</summary>
    public static int[] Tokens(int count, long position)
    {
        var tokens = new int[count];
        for (int i = 0; i < count; i++) tokens[i] = (int)((position + i) * 7919 % Vocabulary);
        return tokens;
    }
}
