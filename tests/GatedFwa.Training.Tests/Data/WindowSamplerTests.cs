using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests.Data;

public sealed class WindowSamplerTests
{
    [Theory]
    [InlineData(9, 8)]
    [InlineData(15, 8)]
    [InlineData(16, 8)]
    [InlineData(17, 8)]
    [InlineData(1000, 8)]
    [InlineData(4097, 16)]
    public void An_epoch_deals_every_window_once_inside_the_text(int length, int context)
    {
        var sampler = new WindowSampler(Texts.Stream(new string('a', length - 2)), context, seed: 3);
        for (int epoch = 0; epoch < 5; epoch++)
        {
            int[] starts = [.. Enumerable.Range(epoch * sampler.WindowsPerEpoch, sampler.WindowsPerEpoch).Select(window => sampler.Start(window)).Order()];
            Assert.True(starts[0] >= 0 && starts[^1] + context < length);
            for (int i = 1; i < starts.Length; i++) Assert.Equal(context, starts[i] - starts[i - 1]);
        }
    }

    [Fact]
    public void The_order_is_shuffled_and_differs_from_epoch_to_epoch()
    {
        var sampler = new WindowSampler(Texts.Stream(new string('a', 8000)), 8, seed: 3);
        int[] first = Starts(sampler, 0), second = Starts(sampler, sampler.WindowsPerEpoch);
        Assert.NotEqual(first.Order(), first);
        Assert.NotEqual(first, second);
        int neighbours = first.Zip(first.Skip(1), (a, b) => b - a == 8 ? 1 : 0).Sum();
        Assert.InRange(neighbours, 0, 10);
    }

    [Fact]
    public void Any_window_can_be_asked_for_at_any_time()
    {
        TokenStream text = Texts.Stream("abcdefghijklmnopqrstuvwxyz", "0123456789");
        int[] all = new int[12 * 4], targets = new int[12 * 4], part = new int[2 * 4], partTargets = new int[2 * 4];
        new WindowSampler(text, 4, seed: 5).Fill(0, all, targets);
        new WindowSampler(text, 4, seed: 5).Fill(7, part, partTargets);
        Assert.Equal(all[28..36], part);
        Assert.Equal(targets[28..36], partTargets);
        new WindowSampler(text, 4, seed: 6).Fill(0, part, partTargets);
        Assert.NotEqual(all[..8], part);
    }

    [Fact]
    public void Targets_are_the_tokens_one_further()
    {
        TokenStream text = Texts.Stream("abc", "def", "ghi");
        int[] stream = Texts.Tokens(text), tokens = new int[4], targets = new int[4];
        Assert.Equal([256, 'a', 'b', 'c', 256, 'd', 'e', 'f', 256, 'g', 'h', 'i', 256], stream);
        var sampler = new WindowSampler(text, 4, seed: 1);
        for (int window = 0; window < 20; window++)
        {
            sampler.Fill(window, tokens, targets);
            int start = sampler.Start(window);
            Assert.Equal(stream[start..(start + 4)], tokens);
            Assert.Equal(stream[(start + 1)..(start + 5)], targets);
        }
    }

    [Fact]
    public void Refuses_a_text_shorter_than_a_context()
    {
        string message = Assert.Throws<InputException>(() => new WindowSampler(Texts.Stream("abc"), 5, 0)).Message;
        Assert.Equal(
            "The text to learn from has 5 tokens, which is shorter than one context of 5; give more text or a smaller --context.",
            message);
        _ = new WindowSampler(Texts.Stream("abc"), 4, 0);
    }

    private static int[] Starts(WindowSampler sampler, int first) =>
        [.. Enumerable.Range(first, sampler.WindowsPerEpoch).Select(window => sampler.Start(window))];
}
