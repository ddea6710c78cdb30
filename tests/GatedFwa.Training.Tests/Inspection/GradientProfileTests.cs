using GatedFwa.Models;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Training.Tests.Inspection;

public sealed class GradientProfileTests() : GradientProfileSuite(TestBackend.Cpu);

public sealed class GradientProfileCudaTests() : GradientProfileSuite(TestBackend.CudaFloat32);

public abstract class GradientProfileSuite(TestBackend backend) : TensorTest(backend)
{
    private const int Context = 9;
    private const double Step = 1e-5, Tolerance = 1e-4;

    // No token twice: the row of the embedding then belongs to one place alone, and differences of it are those of that place.
    private static readonly int[] Text = [9, 4, 17, 1, 30, 12, 6, 25, 0, 8, 21, 3, 14, 28];

    [Theory]
    [InlineData("full")]
    [InlineData("window")]
    [InlineData("gatedfwa")]
    public void Norms_are_those_of_differences_of_the_reference_model(string mixer)
    {
        ModelConfig config = Mixer.Parse(mixer).In(TinyModel.Config);
        using LanguageModel model = TinyModel.Create(config, Backend);
        var reference = new ReferenceModel(model);
        // Two predictions of 14 tokens, 9 before each: the first and the last there are.
        double[] first = Differences(reference, 0), second = Differences(reference, 4);

        GradientProfile profile = GradientProfile.Measure(model, Text, Context, predictions: 2);

        Assert.Equal(2, profile.Predictions);
        Assert.Equal(Context, profile.Norms.Length);
        double tolerance = Tolerance * profile.Norms.Max();
        for (int i = 0; i < Context; i++) Assert.Equal((first[i] + second[i]) / 2, profile.Norms[i], tolerance);
    }

    [Fact]
    public void Nothing_flows_beyond_the_windows_of_all_layers()
    {
        // Two layers of a window of 3, and the token shift: 1 + 2 · (2 + 1) tokens.
        using LanguageModel model = TinyModel.Create(TinyModel.Config, Backend);
        double[] norms = GradientProfile.Measure(model, Text, Context).Norms;

        Assert.All(norms[..7], norm => Assert.True(norm > 0));
        Assert.All(norms[7..], norm => Assert.Equal(0, norm));
    }

    [Fact]
    public void A_short_text_has_a_shorter_context_and_fewer_predictions()
    {
        using LanguageModel model = TinyModel.Create(TinyModel.Config, Backend);

        Assert.Equal((5, 9), Sizes(GradientProfile.Measure(model, Text)));
        Assert.Equal((1, 1), Sizes(GradientProfile.Measure(model, Text.AsSpan(0, 2))));
        Assert.Contains("two", Refusal(model, Text[..1]), StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_weights_are_said_to_be_so()
    {
        using LanguageModel model = TinyModel.Create(TinyModel.Config, Backend);
        model.Parameters[^1].Value.CopyFrom([.. Enumerable.Repeat(float.NaN, (int)model.Parameters[^1].Value.Count)]);

        Assert.Contains("damaged", Refusal(model, Text), StringComparison.Ordinal);
    }

    [Fact]
    public void Can_be_stopped()
    {
        using LanguageModel model = TinyModel.Create(TinyModel.Config, Backend);
        Assert.Throws<OperationCanceledException>(
            () => GradientProfile.Measure(model, Text, cancellation: new CancellationToken(canceled: true)));
    }

    private static string Refusal(LanguageModel model, int[] text) =>
        Assert.Throws<InputException>(() => GradientProfile.Measure(model, text)).Message;

    private static (int Predictions, int Context) Sizes(GradientProfile profile) => (profile.Predictions, profile.Norms.Length);

    /// <summary>Norms of central differences, nearest token first.</summary>
    private static double[] Differences(ReferenceModel reference, int start)
    {
        int[] tokens = Text[start..(start + Context)], targets = [.. Enumerable.Repeat(-1, Context - 1), Text[start + Context]];
        double[] embedding = reference.Parameters["embedding.weight"];
        double Loss(int at, double value)
        {
            double kept = embedding[at];
            embedding[at] = value;
            double loss = reference.Loss(tokens, targets);
            embedding[at] = kept;
            return loss;
        }

        double Slope(int at) => (Loss(at, embedding[at] + Step) - Loss(at, embedding[at] - Step)) / (2 * Step);
        int width = TinyModel.Config.Width;
        return [.. tokens.Reverse().Select(token => Math.Sqrt(Enumerable.Range(token * width, width).Sum(at => Math.Pow(Slope(at), 2))))];
    }
}
