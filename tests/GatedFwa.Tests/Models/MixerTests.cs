using GatedFwa.Models;

namespace GatedFwa.Tests.Models;

public sealed class MixerTests
{
    private static readonly ModelConfig Model = TinyModels.GatedFwa;

    public static TheoryData<string> Names => [.. Mixer.All.Select(mixer => mixer.Name)];

    [Theory]
    [InlineData("full", false, null)]
    [InlineData("window", false, 7)]
    [InlineData("gated-full", true, null)]
    [InlineData("gatedfwa", true, 7)]
    public void A_mixer_decides_gate_and_window(string name, bool gate, int? window) =>
        Assert.Equal(Model with { Gate = gate, Window = window }, Mixer.Parse(name).In(Model with { NativeSparse = new() }));

    [Fact]
    public void Native_sparse_attention_has_the_models_own_blocks_or_those_of_the_paper()
    {
        NativeSparseConfig own = new() { BlockSize = 8, BlockCount = 5 };
        Mixer mixer = Mixer.Parse("gatedfwa-nsa");
        Assert.Equal(Model with { NativeSparse = own }, mixer.In(Model with { NativeSparse = own, Gate = false }));
        Assert.Equal(Model with { NativeSparse = new() { BlockSize = 64, BlockCount = 16 } }, mixer.In(Model));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_mixer_is_found_by_its_name_and_makes_a_model(string name)
    {
        Mixer mixer = Mixer.Parse(name);
        Assert.Equal(name, mixer.Name);
        Assert.Equal(name, mixer.ToString());
        Assert.NotEmpty(mixer.Description);
        Assert.Same(mixer, Mixer.All.Single(other => other.Name == name));
        ModelConfig config = mixer.In(Model).Validate();
        Assert.Equal(config, mixer.In(config with { Gate = !config.Gate, Window = config.Window ?? 3 }));
    }

    [Fact]
    public void No_two_mixers_make_the_same_model() =>
        Assert.Equal(Mixer.All.Count, Mixer.All.Select(mixer => mixer.In(Model)).Distinct().Count());

    [Theory]
    [InlineData("window")]
    [InlineData("gatedfwa")]
    [InlineData("gatedfwa-nsa")]
    public void A_mixer_that_needs_a_window_says_so(string name)
    {
        string message = Assert.Throws<InputException>(() => Mixer.Parse(name).In(Model with { Window = null })).Message;
        Assert.Contains("needs a window", message);
        Assert.EndsWith(".", message);
    }

    [Theory]
    [InlineData("linear")]
    [InlineData("Full")]
    [InlineData("")]
    public void An_unknown_mixer_is_refused_with_the_known_ones(string name)
    {
        string message = Assert.Throws<InputException>(() => Mixer.Parse(name)).Message;
        Assert.Contains($"\"{name}\"", message);
        Assert.All(Mixer.All, mixer => Assert.Contains(mixer.Name, message));
        Assert.EndsWith(".", message);
    }
}
