using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Tokenizers;

namespace GatedFwa.Tests.Checkpoints;

public sealed class ModelDirectoryTests : TensorTest
{
    private static readonly ModelConfig TinyConfig = new()
    {
        VocabularySize = 257,
        Layers = 2,
        Width = 16,
        Heads = 2,
        Window = 8,
        FeedForwardWidth = 24,
    };

    private readonly TemporaryFolder _folder = new();

    private string Model => _folder["model"];

    private string Weights => Path.Combine(Model, ModelDirectory.WeightsFile);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_saved_model_loads_bit_for_bit(bool nativeSparse)
    {
        ModelConfig config = TinyConfig with { NativeSparse = nativeSparse ? new() { BlockSize = 4, BlockCount = 3 } : null };
        Save(config, seed: 5);
        (LanguageModel loaded, _) = ModelDirectory.Load(Model);
        using (loaded)
        using (var original = new LanguageModel(config, seed: 5))
        {
            Assert.Equal(config, loaded.Config);
            foreach ((Parameter expected, Parameter actual) in original.Parameters.Zip(loaded.Parameters))
                Assert.Equal(expected.Value.ToArray(), actual.Value.ToArray());
        }
    }

    [Fact]
    public void A_model_is_three_files_and_others_beside_them_do_not_matter()
    {
        Save(TinyConfig);
        Assert.Equal(
            ["config.json", "model.safetensors", "tokenizer.json"],
            Directory.EnumerateFiles(Model).Select(Path.GetFileName).Order());
        File.WriteAllText(Path.Combine(Model, "metrics.jsonl"), "");
        ModelDirectory.Load(Model).Model.Dispose();
    }

    [Fact]
    public void Saving_again_replaces_the_parameters()
    {
        Save(TinyConfig, seed: 1);
        byte[] first = File.ReadAllBytes(Weights);
        Save(TinyConfig, seed: 2);
        Assert.NotEqual(first, File.ReadAllBytes(Weights));
        Save(TinyConfig, seed: 1);
        Assert.Equal(first, File.ReadAllBytes(Weights));
    }

    [Theory]
    [InlineData("config.json", "holds no config.json, so it is no model")]
    [InlineData("model.safetensors", "holds no model.safetensors; wait for the first checkpoint")]
    [InlineData("tokenizer.json", "name a model of text, or restore the file")]
    public void A_missing_file_is_named(string file, string part)
    {
        Save(TinyConfig);
        File.Delete(Path.Combine(Model, file));
        Refused(part, file);
    }

    [Fact]
    public void A_missing_folder_is_named() => Refused("There is no folder", Model);

    [Fact]
    public void A_config_of_another_shape_is_refused()
    {
        Save(TinyConfig);
        WriteConfig(TinyConfig with { Width = 32 });
        Refused("\"embedding.weight\"", "has the shape [257, 16] where config.json asks for [257, 32]");
        WriteConfig(TinyConfig with { Layers = 3 });
        Refused("has no tensor \"layers.2.attention_norm.weight\"");
        WriteConfig(TinyConfig with { Layers = 1 });
        Refused("holds the tensor \"layers.1.", "which config.json does not ask for");
        WriteConfig(TinyConfig with { Gate = false });
        Refused("gate.", "which config.json does not ask for");
    }

    [Fact]
    public void A_config_that_asks_for_terabytes_takes_no_memory()
    {
        Save(TinyConfig);
        WriteConfig(TinyConfig with { Width = 1 << 17, Heads = 512, Layers = 4096, FeedForwardWidth = 1 << 20 });
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused("asks for [257, 131072]");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void A_tokenizer_with_more_tokens_than_the_model_is_refused()
    {
        Save(TinyConfig with { VocabularySize = 100 });
        Refused("vocabulary_size 100", "smaller than the tokenizer's 257");
    }

    [Fact]
    public void A_parameter_of_the_wrong_type_is_refused()
    {
        Save(TinyConfig);
        Rewrite(tensor =>
            tensor.Name == "norm.weight" ? SafetensorsTensor.Integers(tensor.Name, tensor.Shape, new int[tensor.Shape.Count]) : tensor);
        Refused("\"norm.weight\"", "holds I32 where F32, F16, BF16 or F64 is expected");
    }

    [Fact]
    public void A_flipped_bit_among_the_parameters_is_found()
    {
        Save(TinyConfig);
        byte[] bytes = File.ReadAllBytes(Weights);
        bytes[^1001] ^= 4;
        File.WriteAllBytes(Weights, bytes);
        Refused("its checksum differs", "go back to another checkpoint");
    }

    [Fact]
    public void A_truncated_file_and_an_unknown_key_are_refused()
    {
        Save(TinyConfig);
        File.WriteAllBytes(Weights, File.ReadAllBytes(Weights)[..^1]);
        Refused("it is damaged");
        File.WriteAllText(
            Path.Combine(Model, "config.json"),
            TinyConfig.ToJson().Replace("\"window\"", "\"windows\"", StringComparison.Ordinal));
        Refused("unknown key \"windows\" (did you mean \"window\"?)");
    }

    protected override void Cleanup() => _folder.Dispose();

    private void Save(ModelConfig config, ulong seed = 0)
    {
        using var model = new LanguageModel(config, seed);
        ModelDirectory.Save(Model, model, new ByteTokenizer());
    }

    private void WriteConfig(ModelConfig config) => File.WriteAllText(Path.Combine(Model, ModelDirectory.ConfigFile), config.ToJson());

    private void Rewrite(Func<SafetensorsTensor, SafetensorsTensor> change)
    {
        SafetensorsTensor[] tensors;
        using (SafetensorsFile file = SafetensorsFile.Open(Weights))
            tensors =
            [
                .. file.Entries.Select(
                    entry => change(SafetensorsTensor.Floats(entry.Name, entry.Shape, file.ReadFloats(entry.Name)))),
            ];
        SafetensorsWriter.Write(Weights, tensors);
    }

    private void Refused(params string[] parts)
    {
        string message = Assert.Throws<InputException>(() => ModelDirectory.Load(Model)).Message;
        foreach (string part in parts) Assert.Contains(part, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }
}
