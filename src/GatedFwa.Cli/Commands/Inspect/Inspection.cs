using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Cli.Commands.Inspect;

/// <summary>Everything that was found, for the page to show.</summary>
/// <param name="Request">What was asked for.</param>
/// <param name="Config">The model.</param>
/// <param name="Parameters">The number of its parameters.</param>
/// <param name="Trace">What its layers attended with.</param>
/// <param name="Reach">The reach of each head, by layer.</param>
/// <param name="Gradients">Gradient norms: those of the model first.</param>
internal sealed record Inspection(
    InspectionRequest Request,
    ModelConfig Config,
    long Parameters,
    ModelTrace Trace,
    IReadOnlyList<IReadOnlyList<HeadReach>> Reach,
    IReadOnlyList<GradientSeries> Gradients)
{
    /// <summary>Looks at a model and at those beside it, one after the other.</summary>
    /// <param name="request">What to look at.</param>
    /// <param name="remark">Told what is being done, a sentence at a time.</param>
    /// <exception cref="InputException">A model cannot be used.</exception>
    public static Inspection Run(InspectionRequest request, Action<string> remark)
    {
        int[] text = new ByteTokenizer().Encode(request.Text.Text.Span);
        // Before the first number is computed: a folder that is none should not cost minutes.
        foreach (string compared in request.Compared) ModelDirectory.LoadConfig(compared);
        using LanguageModel model = Load(request.Model, request.Device);
        if (request.Shown < text.Length)
        {
            remark(
                $"Gates and attention are shown on the first {Words.Count(request.Shown)} of {Words.Count(text.Length)} bytes; " +
                "--length shows more.");
        }

        ModelTrace trace = ModelTrace.Of(model, text.AsSpan(0, request.Shown));
        IReadOnlyList<IReadOnlyList<HeadReach>> reach = [.. trace.Layers.Select(HeadReach.OfAll)];
        return new Inspection(
            request, model.Config, model.ParameterCount, trace, reach, [.. Series(request, model, text, remark)]);
    }

    private static IEnumerable<GradientSeries> Series(InspectionRequest request, LanguageModel model, int[] text, Action<string> remark)
    {
        GradientSeries Measure(string name, GradientOrigin origin, LanguageModel measured)
        {
            remark($"Gradients: {name}.");
            return new GradientSeries(name, origin, measured.Config, GradientProfile.Measure(measured, text, request.Context));
        }

        yield return Measure(request.Model, GradientOrigin.Model, model);
        foreach (Mixer mixer in SameWeights.OtherMixers(model.Config))
        {
            using LanguageModel other = SameWeights.Under(model, mixer);
            yield return Measure($"the same weights under {mixer.Description}", GradientOrigin.SameWeights, other);
        }

        foreach (string path in request.Compared)
        {
            using LanguageModel compared = Load(path, request.Device);
            yield return Measure(path, GradientOrigin.Compared, compared);
        }
    }

    /// <summary>In float32 on every device: small gradients would be lost in 16 bits.</summary>
    private static LanguageModel Load(string path, Device device) => ModelDirectory.Load(path, device, DType.F32).Model;
}
