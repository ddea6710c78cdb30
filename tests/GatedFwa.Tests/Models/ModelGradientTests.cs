using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Models;

public sealed class ModelGradientCudaTests() : ModelGradientSuite(TestBackend.CudaFloat32)
{
    protected override double Tolerance => 2e-5;
}

public sealed class ModelGradientCudaBFloat16Tests() : ModelGradientSuite(TestBackend.CudaBFloat16)
{
    // Two layers of activations of 8 bits, forwards and backwards: eight times what one operation is allowed.
    protected override double Tolerance => 8 * Backend.Gradient(0);
}

/// <summary>A GPU joins what the CPU does apart (docs/cuda.md, "Weights that are multiplied together"): every gradient of a model must
/// stay what it is there.</summary>
public abstract class ModelGradientSuite(TestBackend backend) : TensorTest(backend)
{
    private const int Length = 20;

    public static TheoryData<string> Models => TinyModels.Names;

    protected abstract double Tolerance { get; }

    [Theory]
    [MemberData(nameof(Models))]
    public void Gradients_follow_those_of_the_CPU(string name)
    {
        Dictionary<string, double[]> expected = Gradients(TinyModels.All[name], TestBackend.Cpu);
        Dictionary<string, double[]> actual = Gradients(TinyModels.All[name], Backend);
        Assert.Equal(expected.Keys, actual.Keys);
        foreach ((string parameter, double[] gradient) in expected)
        {
            double error = ErrorNorm.Relative([.. actual[parameter].Select(value => (float)value)], gradient);
            Assert.True(error <= Tolerance, $"The gradient of {parameter} is {error:E2} off, more than {Tolerance:E0}.");
        }
    }

    [Fact]
    public void Weights_of_one_product_are_neighbours()
    {
        using var model = new LanguageModel(TinyModels.All["a key head for each"], 0, Backend.Device, Backend.Activations);
        string[] together = [.. model.Parameters.Where(parameter => parameter.Value.Part is not null).Select(parameter => parameter.Name)];
        Assert.Equal(2 * (7 + 2), together.Length);
    }

    /// <summary>After two backward passes, the second of which adds, of weights as the backend's products read them.</summary>
    private Dictionary<string, double[]> Gradients(ModelConfig config, TestBackend on)
    {
        using LanguageModel model = TinyModels.Lively(config, on);
        using LanguageModel rounded = TinyModels.Lively(config, Backend);
        for (int i = 0; i < model.Parameters.Count; i++) model.Parameters[i].Value.CopyFrom(rounded.Parameters[i].Value.ToArray());
        for (ulong pass = 0; pass < 2; pass++)
        {
            using var tape = new Tape();
            Tensor tokens = tape.Own(Tensor.From(TinyModels.Tokens(2 * Length, 3 + pass), [2, Length], on.Device));
            Tensor targets = tape.Own(Tensor.From(TinyModels.Tokens(2 * Length, 7 + pass), [2, Length], on.Device));
            tape.Backward(model.Loss(tape, tokens, targets));
        }

        return model.Parameters.ToDictionary(parameter => parameter.Name, parameter => Samples.Widen(parameter.Gradient.ToArray()));
    }
}
