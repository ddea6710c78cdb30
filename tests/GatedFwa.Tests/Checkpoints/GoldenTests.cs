namespace GatedFwa.Tests.Checkpoints;

public sealed class GoldenTests
{
    [Fact]
    public void Every_golden_file_is_there() =>
        Assert.Equal(15, new[] { "attention", "gate", "nsa" }.Sum(prefix => Golden.Names(prefix).Count()));

    [Fact]
    public void The_basic_file_reads_as_its_oracle_wrote_it()
    {
        using Golden golden = Golden.Open("attention_basic");
        Assert.Equal("gated_window_attention", golden.Kind);
        Assert.Equal((8, 0.25f), (golden.Window, golden.Scale));
        Assert.Equal([1, 32, 2, 16], golden.Shape("q").ToArray());
        // The first query sees only its own key: its output is that key's value.
        Assert.Equal(golden.Floats("v")[..32], golden.Floats("o")[..32]);
    }
}
