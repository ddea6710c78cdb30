using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Training.Tests.Inspection;

public sealed class HeadReachTests
{
    private const int Tokens = 40;

    private static readonly ModelConfig Config = TinyModel.Config with { Window = 8 };

    [Fact]
    public void Equal_scores_reach_through_the_window_and_halving_decay_through_three_tokens()
    {
        HeadReach reach = HeadReach.Of(Even(MathF.Log(2)), head: 1);

        // 7 of 8 equal weights are 87.5%. With a half a token, 1 + 1/2 + 1/4 + 1/8 of 255/128 are 94%, and one less 88%.
        Assert.Equal(7, reach.WithoutGate);
        Assert.Equal(3, reach.Attention);
        Assert.Equal(1, reach.HalfLife, 1e-6);
        Assert.Equal(Math.Log2(100), reach.HundredthLife, 1e-5);
    }

    [Fact]
    public void A_half_life_beyond_the_text_is_infinite()
    {
        HeadReach reach = HeadReach.Of(Even(1e-4f), head: 0);

        Assert.Equal(double.PositiveInfinity, reach.HalfLife);
        Assert.Equal(double.PositiveInfinity, reach.HundredthLife);
    }

    [Fact]
    public void Without_a_gate_the_scores_alone_decide()
    {
        HeadReach reach = HeadReach.Of(Even(null), head: 0);

        Assert.Equal(new HeadReach(7, 7, double.PositiveInfinity, double.PositiveInfinity), reach);
    }

    [Fact]
    public void A_reach_is_the_mean_over_full_windows_of_the_least_distance_that_holds_the_share()
    {
        var random = new CounterRandom(5);
        float[] Normal(int count, ulong stream) => [.. Enumerable.Range(0, count).Select(i => 2 * random.Split(stream).Normal(i))];
        var layer = new LayerTrace(
            Config, Tokens, Normal(Tokens * 16, 1), Normal(Tokens * 8, 2), [.. Normal(Tokens * 2, 3).Select(value => Math.Abs(value) / 4)]);
        double expected = Enumerable.Range(7, Tokens - 7).Average(query =>
        {
            double[] weights = layer.Attention(0, query, gated: true);
            return Enumerable.Range(0, 8).First(distance => weights.TakeLast(distance + 1).Sum() >= HeadReach.Share);
        });

        Assert.Equal(expected, HeadReach.Of(layer, 0).Attention, 1e-12);
        Assert.InRange(expected, 1, 6);
    }

    [Theory]
    [InlineData(8, 40, 7)]
    [InlineData(1, 40, 0)]
    [InlineData(64, 40, 20)]
    [InlineData(null, 40, 20)]
    [InlineData(null, 1, 0)]
    public void Positions_count_once_their_window_is_full_or_in_the_second_half(int? window, int tokens, int first) =>
        Assert.Equal(first, HeadReach.FirstPosition(window, tokens));

    /// <summary>Scores that are all 0, and the same decay everywhere.</summary>
    private static LayerTrace Even(float? alpha) => new(
        Config,
        Tokens,
        new float[Tokens * Config.Width],
        new float[Tokens * Config.HeadSize],
        alpha is { } decay ? [.. Enumerable.Repeat(decay, Tokens * Config.Heads)] : null);
}
