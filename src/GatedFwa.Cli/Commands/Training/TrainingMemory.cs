using GatedFwa.Models;
using GatedFwa.Training;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>
/// Whether a training fits its device at all. Systems that promise more memory than they have kill a process without a word.
/// </summary>
internal static class TrainingMemory
{
    private const int TensorsPerParameter = 4; // Value, gradient, two moments.
    private const int FeaturesPerLayer = 16, HiddenPerLayer = 3; // What a block keeps of a token for the way back.

    /// <summary>Refuses what cannot fit.</summary>
    /// <exception cref="InputException">It needs more than there is.</exception>
    public static void Check(ModelConfig model, TrainerOptions options, TrainingPlace place)
    {
        long available = place.MemoryBytes;
        double parameters = sizeof(float) * ParameterPlan.Of(model).Sum(parameter => (double)parameter.Shape.Count) * TensorsPerParameter;
        double tokens = (double)options.BatchSize * options.Context;
        double kept = ((double)FeaturesPerLayer * model.Width) + ((double)HiddenPerLayer * model.FeedForwardWidth);
        double activations = place.ActivationBytes * tokens * model.Layers * kept;
        double needed = parameters + activations;
        if (needed <= available) return;
        throw new InputException(
            $"This training needs at least {Words.Bytes((long)Math.Min(needed, long.MaxValue))} of memory and {place.Owner} has " +
            $"{Words.Bytes(available)}; " +
            (parameters > activations ? "use a smaller model (--preset, --width, --layers)." : "use a smaller --batch or --context."));
    }
}
