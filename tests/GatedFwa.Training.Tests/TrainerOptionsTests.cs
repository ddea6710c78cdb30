using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests;

public sealed class TrainerOptionsTests
{
    [Fact]
    public void A_small_text_is_passed_over_twelve_times_at_most()
    {
        var options = new TrainerOptions { Steps = 1000, BatchSize = 4, Context = 16, AccumulationSteps = 2, WarmupSteps = 90, EvaluationInterval = 400 };
        TokenStream text = Texts.Stream(new string('a', 3198)); // With its boundaries 25 steps of 128 tokens.
        TrainerOptions fitted = options.FittedTo(text);
        Assert.Equal(options with { Steps = 300, WarmupSteps = 30, EvaluationInterval = 75 }, fitted);
        Assert.Same(options, options.FittedTo(Texts.Stream(new string('a', 20_000))));
        Assert.Equal(100, options.FittedTo(Texts.Stream("short")).Steps);
        _ = fitted.Validate();
    }

    [Fact]
    public void The_defaults_are_valid() => new TrainerOptions().Validate();
}
