using System.Buffers.Text;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using GatedFwa.Models;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Cli.Commands.Inspect;

/// <summary>
/// The numbers of the page as JSON. It carries queries and keys, not attention: that of any token and head is a few thousand products
/// in the browser, where all of it would be T² numbers a head.
/// </summary>
internal static class PageData
{
    // The default encoder writes < and > as escapes: nothing in here can end the script element it stands in.
    private static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public static string Json(Inspection inspection) => JsonSerializer.Serialize(Document(inspection), Options);

    private static object Document(Inspection inspection)
    {
        (InspectionRequest request, ModelConfig config) = (inspection.Request, inspection.Config);
        return new
        {
            Model = new
            {
                Name = request.Model,
                Attention = ModelWords.Attention(config),
                Heads = ModelWords.Heads(config),
                inspection.Parameters,
            },
            Text = new
            {
                request.Text.Name,
                Bytes = request.Text.Text.Length,
                Tokens = Base64Url.EncodeToString(request.Text.Text.Span[..request.Shown]),
            },
            Chosen = request.Chosen,
            Shape = new
            {
                config.Layers, config.Heads, config.KeyHeads, config.HeadSize, config.Window, config.Gate, HasBlocks = config.NativeSparse is not null,
            },
            MeasuredFrom = HeadReach.FirstPosition(config.Window, request.Shown),
            Layers = inspection.Trace.Layers.Select((layer, index) => new
            {
                layer.Scale,
                // Half precision: an error of some 0.05% in a score, and half the size.
                Queries = Halves(layer.Queries),
                Keys = Halves(layer.Keys),
                Alpha = layer.Alpha is null ? null : Base64Url.EncodeToString(MemoryMarshal.AsBytes(layer.Alpha.AsSpan())),
                Reach = inspection.Reach[index].Select(head => new
                {
                    Attention = Rounded(head.Attention),
                    WithoutGate = Rounded(head.WithoutGate),
                    HalfLife = Rounded(head.HalfLife),
                    HundredthLife = Rounded(head.HundredthLife),
                }),
            }),
            Gradients = inspection.Gradients.Select(series => new
            {
                series.Name,
                Origin = series.Origin.ToString(),
                Mixer = SameWeights.MixerOf(series.Config)?.Name,
                Attention = ModelWords.Attention(series.Config),
                Reach = FarthestToken(series.Config),
                series.Profile.Predictions,
                Norms = series.Profile.Norms.Select(Rounded),
            }),
        };
    }

    /// <summary>How many tokens before the predicted one can matter at all, the last that was read being the first: the reach of the
    /// windows, and one more a layer with the token shift; null without a window.</summary>
    private static long? FarthestToken(ModelConfig config) => 1 + config.Reach + (config.TokenShift ? config.Layers : 0);

    private static string Halves(float[] values)
    {
        Half[] halves = [.. values.Select(value => (Half)value)];
        return Base64Url.EncodeToString(MemoryMarshal.AsBytes(halves.AsSpan()));
    }

    /// <summary>Four digits are more than a picture shows; null for what is beyond the text.</summary>
    private static double? Rounded(double value) =>
        double.IsFinite(value) ? double.Parse(value.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture) : null;
}
