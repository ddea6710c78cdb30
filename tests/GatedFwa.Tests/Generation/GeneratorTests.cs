using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Memory;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;
using GatedFwa.Tokenizers;

namespace GatedFwa.Tests.Generation;

public sealed class GeneratorTests : TensorTest
{
    internal static readonly GenerationOptions Greedy = new() { MaxTokens = 100, Sampling = new() { Temperature = 0 } };

    private readonly LanguageModel _lively;

    public GeneratorTests() => _lively = TinyModels.Lively(TinyModels.GatedFwa with { VocabularySize = ByteTokenizer.VocabularySize });

    protected override void Cleanup() => _lively.Dispose();

    internal static string Generate(LanguageModel model, string prompt, GenerationOptions options) =>
        string.Concat(new Generator(model, new ByteTokenizer()).Generate(prompt, options));

    /// <summary>
    /// A model that knows one text by heart: after each of its bytes (all different) comes the next, then the boundary, then the
    /// first.
    /// </summary>
    internal static LanguageModel Reciting(string text)
    {
        const int Width = 264; // at least a feature for each token
        var model = new LanguageModel(TinyModels.All["bare"] with
        {
            VocabularySize = ByteTokenizer.VocabularySize,
            Layers = 1,
            Width = Width,
            Heads = 33,
            KeyHeads = 33,
        });
        int[] cycle = [ByteTokenizer.Boundary, .. new ByteTokenizer().Encode(text), ByteTokenizer.Boundary];
        foreach (Parameter parameter in model.Parameters)
        {
            var values = new float[parameter.Value.Count];
            if (parameter.Name == "embedding.weight")
            {
                for (int token = 0; token < ByteTokenizer.VocabularySize; token++) values[(token * Width) + token] = 1;
            }

            if (parameter.Name == "head.weight") for (int i = 1; i < cycle.Length; i++) values[(cycle[i] * Width) + cycle[i - 1]] = 1;
            if (parameter.Name == "norm.weight") Array.Fill(values, 1);
            parameter.Value.CopyFrom(values);
        }

        return model;
    }

    [Theory]
    [InlineData("", "abcdé.fgh")]
    [InlineData("a", "bcdé.fgh")]
    [InlineData("anything that ends with g", "h")]
    public void A_text_ends_at_its_boundary(string prompt, string expected)
    {
        using LanguageModel model = Reciting("abcdé.fgh");
        Assert.Equal(expected, Generate(model, prompt, Greedy));
    }

    [Fact]
    public void The_next_document_begins_where_the_boundary_does_not_stop()
    {
        using LanguageModel model = Reciting("abc");
        Assert.Equal("bcabcab", Generate(model, "a", Greedy with { StopAtBoundary = false, MaxTokens = 9 }));
    }

    [Theory]
    [InlineData(0, "")]
    [InlineData(3, "bcd")]
    [InlineData(5, "bcdé")]
    [InlineData(6, "bcdé.")]
    public void The_most_tokens_are_kept(int tokens, string expected)
    {
        using LanguageModel model = Reciting("abcdé.fgh");
        Assert.Equal(expected, Generate(model, "a", Greedy with { MaxTokens = tokens }));
    }

    [Theory]
    [InlineData("bcd", "é.")]
    [InlineData("bcdé.", "fgh")]
    [InlineData("b", "zz", "cd", "d")]
    [InlineData("", "b")]
    [InlineData("bcdé.fgh", "fgx", "ghi", "hh")]
    public void Stop_strings_end_the_text_and_are_not_in_it(string expected, params string[] stops)
    {
        using LanguageModel model = Reciting("abcdé.fgh");
        Assert.Equal(expected, Generate(model, "a", Greedy with { StopStrings = stops }));
    }

    [Fact]
    public void Pieces_are_whole_characters()
    {
        using LanguageModel model = Reciting("aé€😀b");
        string[] pieces = [.. new Generator(model, new ByteTokenizer()).Generate("", Greedy)];
        Assert.Equal(["a", "é", "€", "😀", "b"], pieces);
    }

    [Fact]
    public void Pieces_come_as_they_are_made_and_leaving_early_gives_the_memory_back()
    {
        using LanguageModel model = Reciting("abc");
        long live = DeviceMemory.Statistics(Device.Cpu).LiveBlocks;
        var endless = Greedy with { MaxTokens = long.MaxValue, StopAtBoundary = false };
        Assert.Equal(50, new Generator(model, new ByteTokenizer()).Generate("a", endless).Take(50).Count());
        Assert.Equal(live, DeviceMemory.Statistics(Device.Cpu).LiveBlocks);
    }

    [Fact]
    public void The_same_seed_writes_the_same_text_and_another_seed_another()
    {
        string Text(ulong seed) => Generate(_lively, "Once", new() { MaxTokens = 60, Sampling = new() { Seed = seed } });
        Assert.Equal(Text(1), Text(1));
        Assert.NotEqual(Text(1), Text(2));
    }

    [Fact]
    public void A_prompt_longer_than_a_piece_is_read_to_its_end()
    {
        using LanguageModel model = Reciting("abc");
        Assert.Equal("c", Generate(model, new string('x', 1000) + "b", Greedy));
    }

    [Fact]
    public void The_repetition_penalty_counts_the_prompt()
    {
        using LanguageModel model = Reciting("xy");
        model.Parameters[^1].Value.AsSpan()[('z' * 264) + 'x'] = 0.9f; // after x, z is nearly as likely as y
        var penalised = Greedy with { MaxTokens = 1, Sampling = new() { Temperature = 0, RepetitionPenalty = 2 } };
        Assert.Equal("y", Generate(model, "x", penalised));
        Assert.Equal("y", Generate(model, "yx", Greedy with { MaxTokens = 1 }));
        Assert.Equal("z", Generate(model, "yx", penalised));
    }

    [Fact]
    public void A_model_of_another_vocabulary_and_options_out_of_range_are_refused_before_the_first_piece()
    {
        using var other = new LanguageModel(TinyModels.GatedFwa);
        Assert.Contains(
            "37 tokens",
            Assert.Throws<InputException>(() => new Generator(other, new ByteTokenizer()).Generate("a", Greedy)).Message);
        var generator = new Generator(_lively, new ByteTokenizer());
        Assert.Throws<InputException>(() => generator.Generate("a", Greedy with { MaxTokens = -1 }));
        Assert.Throws<InputException>(() => generator.Generate("a", Greedy with { StopStrings = [""] }));
        Assert.Throws<InputException>(() => generator.Generate("a", Greedy with { Sampling = new() { TopK = 0 } }));
    }
}
