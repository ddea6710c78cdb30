using GatedFwa.Generation;

namespace GatedFwa.Tests.Generation;

public sealed class SamplerTests
{
    private const int Draws = 40_000;

    /// <summary>How often each token is drawn from fixed scores.</summary>
    private static double[] Frequencies(float[] logits, SamplingOptions options)
    {
        var sampler = new Sampler(options);
        var counts = new double[logits.Length];
        for (int i = 0; i < Draws; i++) counts[sampler.Next(logits)]++;
        return [.. counts.Select(count => count / Draws)];
    }

    private static double[] Softmax(double[] logits)
    {
        double[] weights = [.. logits.Select(Math.Exp)];
        return [.. weights.Select(weight => weight / weights.Sum())];
    }

    /// <summary>Five standard deviations of a frequency over this many draws.</summary>
    private static void AssertDrawnFrom(double[] probabilities, double[] frequencies)
    {
        for (int token = 0; token < probabilities.Length; token++)
        {
            double p = probabilities[token];
            Assert.InRange(frequencies[token], p - (5 * Math.Sqrt(p * (1 - p) / Draws)), p + (5 * Math.Sqrt(p * (1 - p) / Draws)));
        }
    }

    [Theory]
    [InlineData(1f)]
    [InlineData(0.5f)]
    [InlineData(3f)]
    public void Draws_from_the_softmax_at_a_temperature(float temperature)
    {
        float[] logits = [1, -2, 0.5f, 3, 2.5f];
        AssertDrawnFrom(Softmax([.. logits.Select(logit => (double)logit / temperature)]), Frequencies(logits, new() { Temperature = temperature }));
    }

    [Fact]
    public void Temperature_zero_takes_the_likeliest_and_the_first_among_equals()
    {
        var sampler = new Sampler(new() { Temperature = 0, TopK = 3, TopP = 0.5f });
        Assert.Equal(1, sampler.Next([0f, 2f, 2f, -1f]));
    }

    // Probabilities 0.5, 0.25, 0.125, 0.125 in another order.
    private static readonly float[] Halves = [MathF.Log(1), MathF.Log(4), MathF.Log(1), MathF.Log(2)];

    [Theory]
    [InlineData(1, new[] { 0.0, 1, 0, 0 })]
    [InlineData(2, new[] { 0.0, 2 / 3.0, 0, 1 / 3.0 })]
    [InlineData(3, new[] { 1 / 7.0, 4 / 7.0, 0, 2 / 7.0 })]
    [InlineData(4, new[] { 0.125, 0.5, 0.125, 0.25 })]
    [InlineData(99, new[] { 0.125, 0.5, 0.125, 0.25 })]
    public void Top_k_keeps_the_k_likeliest(int k, double[] expected) => AssertDrawnFrom(expected, Frequencies(Halves, new() { TopK = k }));

    [Theory]
    [InlineData(0.4f, new[] { 0.0, 1, 0, 0 })]
    [InlineData(0.6f, new[] { 0.0, 2 / 3.0, 0, 1 / 3.0 })]
    [InlineData(0.8f, new[] { 1 / 7.0, 4 / 7.0, 0, 2 / 7.0 })]
    [InlineData(0.99f, new[] { 0.125, 0.5, 0.125, 0.25 })]
    public void Top_p_keeps_the_fewest_that_reach_p(float p, double[] expected) =>
        AssertDrawnFrom(expected, Frequencies(Halves, new() { TopP = p }));

    [Theory]
    [InlineData(1f, new[] { 0.0, 1, 0, 0 })]
    [InlineData(0.4f, new[] { 0.0, 2 / 3.0, 0, 1 / 3.0 })]
    [InlineData(0.2f, new[] { 0.125, 0.5, 0.125, 0.25 })]
    public void Min_p_keeps_what_is_likely_enough_beside_the_likeliest(float p, double[] expected) =>
        AssertDrawnFrom(expected, Frequencies(Halves, new() { MinP = p }));

    [Fact]
    public void Top_p_counts_what_top_k_left() =>
        // Of 4/6 and 2/6 the first alone reaches 0.6, which it would not of the whole.
        AssertDrawnFrom([0, 1, 0, 0], Frequencies(Halves, new() { TopK = 2, TopP = 0.6f }));

    [Fact]
    public void Filters_that_keep_everything_draw_from_everything() =>
        AssertDrawnFrom([0.125, 0.5, 0.125, 0.25], Frequencies(Halves, new() { TopK = 4, TopP = 1, MinP = 0.01f }));

    [Fact]
    public void The_repetition_penalty_divides_positive_and_multiplies_negative_scores_of_recent_tokens_only()
    {
        var sampler = new Sampler(new() { Temperature = 0, RepetitionPenalty = 2, RepetitionWindow = 2 });
        float[] logits = [3, 2, -0.5f, -0.6f];
        Assert.Equal(0, sampler.Next(logits)); // then 0 counts 1.5
        Assert.Equal(1, sampler.Next(logits)); // then 1 counts 1
        Assert.Equal(0, sampler.Next(logits)); // 0 was seen twice and is penalised once; then only 1 and 0 are recent
        sampler.Observe(2);
        sampler.Observe(3);
        Assert.Equal(0, sampler.Next(logits)); // 0 has left the window

        var negative = new Sampler(new() { Temperature = 0, RepetitionPenalty = 2 });
        Assert.Equal(0, negative.Next([-0.5f, -0.6f]));
        Assert.Equal(1, negative.Next([-0.5f, -0.6f])); // −1 against −0.6
    }

    [Fact]
    public void The_same_seed_draws_the_same_tokens_and_another_seed_others()
    {
        int[] Draw(ulong seed)
        {
            var sampler = new Sampler(new() { Seed = seed });
            return [.. Enumerable.Range(0, 100).Select(_ => sampler.Next(Halves))];
        }

        Assert.Equal(Draw(7), Draw(7));
        Assert.NotEqual(Draw(7), Draw(8));
    }

    [Fact]
    public void The_heap_gives_tokens_by_falling_weight_and_rising_id()
    {
        var random = new GatedFwa.Tensors.CounterRandom(5);
        for (int size = 1; size < 70; size++)
        {
            double[] weights = [.. Enumerable.Range(0, size).Select(i => (double)random.Split((ulong)size).Below(i, 9))];
            var heap = new TokenHeap();
            heap.Fill(weights);
            int[] order = [.. Enumerable.Range(0, size).Select(_ => heap.Pop())];
            Assert.Equal(Enumerable.Range(0, size).OrderByDescending(token => weights[token]).ThenBy(token => token), order);
        }
    }

    [Theory]
    [InlineData(new[] { 1f, float.NaN })]
    [InlineData(new[] { float.NaN, 1f })]
    [InlineData(new[] { float.PositiveInfinity, 1f })]
    [InlineData(new[] { float.NegativeInfinity, float.NegativeInfinity })]
    public void Scores_that_are_not_numbers_are_an_error_and_not_a_token(float[] logits) =>
        Assert.Contains("not numbers", Assert.Throws<InputException>(() => new Sampler(new()).Next(logits)).Message);

    [Fact]
    public void A_token_of_no_weight_is_never_drawn()
    {
        double[] frequencies = Frequencies([float.NegativeInfinity, 0, float.NegativeInfinity], new() { TopK = 3 });
        Assert.Equal([0, 1, 0], frequencies);
    }

    public static TheoryData<string, SamplingOptions> OutOfRange => new()
    {
        { "temperature", new() { Temperature = -1 } },
        { "temperature", new() { Temperature = float.NaN } },
        { "top-k", new() { TopK = 0 } },
        { "top-p", new() { TopP = 0 } },
        { "top-p", new() { TopP = 1.5f } },
        { "min-p", new() { MinP = -0.1f } },
        { "repetition penalty", new() { RepetitionPenalty = 0 } },
        { "repetition window", new() { RepetitionWindow = -1 } },
    };

    [Theory]
    [MemberData(nameof(OutOfRange))]
    public void Options_out_of_range_are_refused_by_name(string name, SamplingOptions options) =>
        Assert.Contains(name, Assert.Throws<InputException>(() => new Sampler(options)).Message);
}
