using GatedFwa.Checkpoints;
using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;
using GatedFwa.Tokenizers;

namespace GatedFwa.Tests.Generation;

/// <summary>A model that was saved on the CPU writes the same text on a GPU.</summary>
public sealed class GeneratorCudaTests() : TensorTest(TestBackend.CudaFloat32)
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData(DType.F32)]
    [InlineData(DType.BF16)]
    [InlineData(DType.F16)]
    [InlineData(null)]
    public void A_text_known_by_heart_is_recited_in_any_precision(DType? type)
    {
        using (LanguageModel model = GeneratorTests.Reciting("abcdé.fgh")) ModelDirectory.Save(_folder["model"], model, new ByteTokenizer());
        (LanguageModel loaded, ByteTokenizer _) = ModelDirectory.Load(_folder["model"], Backend.Device, type);
        using (loaded)
        {
            Assert.Equal(type ?? DType.BF16, loaded.Activations);
            Assert.Equal("h", GeneratorTests.Generate(loaded, "anything that ends with g", GeneratorTests.Greedy));
            Assert.Equal("bcdé.fgh", GeneratorTests.Generate(loaded, "a", GeneratorTests.Greedy));
        }
    }

    [Fact]
    public void The_same_seed_writes_the_text_that_the_processor_writes()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa with { VocabularySize = ByteTokenizer.VocabularySize });
        ModelDirectory.Save(_folder["model"], model, new ByteTokenizer());
        (LanguageModel loaded, ByteTokenizer _) = ModelDirectory.Load(_folder["model"], Backend.Device, DType.F32);
        var options = new GenerationOptions { MaxTokens = 40, Sampling = new() { Seed = 5 } };
        string prompt = new('x', 100);
        using (loaded) Assert.Equal(GeneratorTests.Generate(model, prompt, options), GeneratorTests.Generate(loaded, prompt, options));
    }

    protected override void Cleanup() => _folder.Dispose();
}
