using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Training.Tests.Inspection;

public sealed class SameWeightsTests() : SameWeightsSuite(TestBackend.Cpu);

public sealed class SameWeightsCudaTests() : SameWeightsSuite(TestBackend.CudaFloat32);

public abstract class SameWeightsSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData("gatedfwa", "full", "window", "gated-full")]
    [InlineData("gated-full", "full")]
    [InlineData("window", "full")]
    [InlineData("full")]
    public void Pieces_can_be_switched_off_and_none_on_that_needs_weights(string mixer, params string[] others)
    {
        ModelConfig config = Mixer.Parse(mixer).In(TinyModel.Config);

        Assert.Equal(mixer, SameWeights.MixerOf(config)?.Name);
        Assert.Equal(others, SameWeights.OtherMixers(config).Select(other => other.Name));
    }

    [Fact]
    public void The_weights_stay_and_the_attention_changes()
    {
        using LanguageModel model = TinyModel.Create(TinyModel.Config, Backend);
        foreach (Mixer mixer in SameWeights.OtherMixers(model.Config))
        {
            using LanguageModel other = SameWeights.Under(model, mixer);

            Assert.Equal(mixer.In(model.Config), other.Config);
            Assert.All(other.Parameters, parameter => Assert.Equal(
                model.Parameters.Single(own => own.Name == parameter.Name).Value.ToArray(), parameter.Value.ToArray()));
            Assert.NotEqual(Logits(model), Logits(other));
        }
    }

    private static float[] Logits(LanguageModel model)
    {
        using var tape = new Tape(recording: false);
        return model.Logits(tape, tape.Own(Tensor.From([5, 3, 1, 2, 9], [1, 5]))).ToArray();
    }
}
