using GatedFwa.Checkpoints;
using GatedFwa.Models;

namespace GatedFwa.Tests.Models;

public sealed class ModelConfigTests
{
    private static readonly ModelConfig Small = ModelConfig.Preset("small");

    [Theory]
    [InlineData("nano")]
    [InlineData("tiny")]
    [InlineData("small")]
    [InlineData("zoology")]
    public void What_is_written_reads_back_as_the_same(string preset)
    {
        ModelConfig config = ModelConfig.Preset(preset) with { Gate = false, Dropout = 0.1f, GateBias = 3.5f };
        Assert.Equal(config, ModelConfig.Parse(config.ToJson()));
        Assert.Equal(config with { Window = null }, ModelConfig.Parse((config with { Window = null }).ToJson()));
        config = config with { NativeSparse = new() { BlockSize = 8, BlockCount = 3 } };
        Assert.Equal(config, ModelConfig.Parse(config.ToJson()));
    }

    [Fact]
    public void Every_setting_is_written_in_snake_case()
    {
        string json = Small.ToJson();
        string[] keys =
        [
            "vocabulary_size", "layers", "width", "heads", "key_heads", "window", "gate", "gate_bias", "token_shift", "qk_norm",
            "rotary", "rotary_base", "feed_forward_width", "tied_embedding", "dropout", "norm_epsilon", "native_sparse",
        ];
        using var document = System.Text.Json.JsonDocument.Parse(json);
        Assert.Equal(keys.Order(), document.RootElement.EnumerateObject().Select(property => property.Name).Order());
    }

    [Fact]
    public void Generated_code_writes_as_reflection_does()
    {
        ModelConfig[] configs = [Small, Small with { Window = null, GateBias = -1e-9f, Gate = false }, Small with { NativeSparse = new() }];
        foreach (ModelConfig config in configs) Assert.Equal(StrictJson.Write(config), config.ToJson());
    }

    [Fact]
    public void Any_setting_changes_equality()
    {
        Assert.NotEqual(Small, Small with { Window = 511 });
        Assert.NotEqual(Small, Small with { KeyHeads = 4 });
        Assert.NotEqual(Small, Small with { NativeSparse = new() });
        Assert.NotEqual(Small with { NativeSparse = new() }, Small with { NativeSparse = new() { BlockCount = 15 } });
        Assert.Equal(Small with { NativeSparse = new() }, Small with { NativeSparse = new() { BlockSize = 64, BlockCount = 16 } });
        Assert.Equal(Small, Small with { KeyHeads = 12, FeedForwardWidth = 2048 });
    }

    [Theory]
    [InlineData(192, 512)]
    [InlineData(384, 1024)]
    [InlineData(768, 2048)]
    [InlineData(1024, 2816)]
    [InlineData(96, 256)]
    [InlineData(97, 512)]
    public void The_feed_forward_width_is_8C_over_3_rounded_up_to_256(int width, int expected) =>
        Assert.Equal(expected, (Small with { Width = width }).FeedForwardWidth);

    [Fact]
    public void The_small_preset_has_124_million_parameters()
    {
        long parameters = ParameterPlan.Of(Small).Sum(spec => spec.Shape.Count);
        Assert.InRange(parameters, 123_500_000, 125_500_000);
    }

    [Theory]
    [InlineData(12, 512, 6132L)]
    [InlineData(3, 1, 0L)]
    [InlineData(4096, int.MaxValue, 8796093014016)]
    [InlineData(2, null, null)]
    public void Each_layer_adds_its_window_but_the_token_itself_to_the_reach(int layers, int? window, long? expected) =>
        Assert.Equal(expected, (Small with { Layers = layers, Window = window }).Reach);

    [Theory]
    [InlineData("{", "not valid JSON")]
    [InlineData("[]", "is a list where an object")]
    [InlineData("""{"layers":1,"width":8,"heads":1}""", "lacks the key \"vocabulary_size\"")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":8,"heads":1,"colour":3}""", "colour")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"layers":2,"width":8,"heads":1}""", "Duplicate")]
    [InlineData("""{"vocabulary_size":257,"layers":"two","width":8,"heads":1}""", "The key \"layers\"")]
    [InlineData("""{"vocabulary_size":257,"layers":99999999999,"width":8,"heads":1}""", "The key \"layers\"")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":8,"heads":1,"key_heads":null}""", "The key \"key_heads\"")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":8,"heads":1,"key_heads":0}""", "key_heads is 0")]
    [InlineData("""{"vocabulary_size":257,"layers":0,"width":8,"heads":1}""", "layers is 0")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":3}""", "heads is 3")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":16}""", "head size of 4")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"key_heads":3}""", "key_heads is 3")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"window":0}""", "window is 0")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"feed_forward_width":-1}""", "feed_forward_width is -1")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"dropout":1}""", "dropout is 1")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"rotary_base":1e99}""", "rotary_base")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"norm_epsilon":0}""", "norm_epsilon is 0")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"native_sparse":{"block_size":0}}""", "block_size is 0")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"native_sparse":{"block_count":-1}}""", "block_count is -1")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"native_sparse":{"blocks":4}}""", "native_sparse.blocks")]
    [InlineData("""{"vocabulary_size":257,"layers":1,"width":64,"heads":4,"native_sparse":true}""", "The key \"native_sparse\"")]
    public void A_configuration_that_makes_no_model_is_refused_in_a_sentence(string json, string expected)
    {
        string message = Assert.Throws<InputException>(() => ModelConfig.Parse(json)).Message;
        Assert.Contains(expected, message);
        Assert.EndsWith(".", message);
    }

    [Fact]
    public void Settings_that_are_left_out_take_their_defaults()
    {
        ModelConfig config = ModelConfig.Parse("""{"vocabulary_size":257,"layers":2,"width":64,"heads":4}""");
        Assert.Equal(new ModelConfig { VocabularySize = 257, Layers = 2, Width = 64, Heads = 4 }, config);
        Assert.Null(config.Window);
        Assert.Null(config.NativeSparse);
        ModelConfig sparse = ModelConfig.Parse(
            """{"vocabulary_size":257,"layers":2,"width":64,"heads":4,"native_sparse":{"block_count":8}}""");
        Assert.Equal(config with { NativeSparse = new() { BlockSize = 64, BlockCount = 8 } }, sparse);
        Assert.True(config is { Gate: true, TokenShift: true, QkNorm: true, Rotary: true, TiedEmbedding: true, KeyHeads: 4, GateBias: 2 });
    }

    [Fact]
    public void An_unknown_preset_is_refused_with_the_known_ones() =>
        Assert.Contains("nano, tiny, small or zoology", Assert.Throws<InputException>(() => ModelConfig.Preset("huge")).Message);
}
