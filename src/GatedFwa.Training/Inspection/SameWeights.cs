using GatedFwa.Models;
using GatedFwa.Tensors;

namespace GatedFwa.Training.Inspection;

/// <summary>
/// A model with the attention of another mixer and its own weights: window off, gate off. It was never trained so, and yet shows what
/// the piece does for the weights that are there.
/// </summary>
internal static class SameWeights
{
    /// <summary>The mixer of a model, or null where it has none of the known ones.</summary>
    /// <param name="config">The model.</param>
    public static Mixer? MixerOf(ModelConfig config) => Applicable(config).FirstOrDefault(mixer => mixer.In(config) == config);

    /// <summary>The other mixers that the model's weights suffice for, in the order of <see cref="Mixer.All"/>.</summary>
    /// <param name="config">The model.</param>
    public static IReadOnlyList<Mixer> OtherMixers(ModelConfig config)
    {
        // By name and shape: how parameters begin or lie in memory may depend on what else there is.
        HashSet<(string, Shape)> own = [.. Weights(config)];
        return [.. Applicable(config).Where(mixer => mixer.In(config) != config && own.IsSupersetOf(Weights(mixer.In(config))))];
    }

    /// <summary>The model under another mixer.</summary>
    /// <param name="model">The model.</param>
    /// <param name="mixer">One of its <see cref="OtherMixers"/>.</param>
    /// <returns>A copy, for the caller to dispose.</returns>
    public static LanguageModel Under(LanguageModel model, Mixer mixer)
    {
        Dictionary<string, Parameter> own = model.Parameters.ToDictionary(parameter => parameter.Name);
        LanguageModel other = LanguageModel.Uninitialised(mixer.In(model.Config), model.Device, model.Activations);
        foreach (Parameter parameter in other.Parameters) parameter.Value.CopyFrom(own[parameter.Name].Value);
        return other;
    }

    private static IEnumerable<(string Name, Shape Shape)> Weights(ModelConfig config) =>
        ParameterPlan.Of(config).Select(spec => (spec.Name, spec.Shape));

    private static IEnumerable<Mixer> Applicable(ModelConfig config) =>
        config.Window is null ? [Mixer.Full, Mixer.GatedFull] : Mixer.All;
}
