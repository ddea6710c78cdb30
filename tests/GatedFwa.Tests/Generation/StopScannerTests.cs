using FsCheck;
using FsCheck.Fluent;
using GatedFwa.Generation;

namespace GatedFwa.Tests.Generation;

public sealed class StopScannerTests
{
    private static string Scan(IEnumerable<string> pieces, params string[] stops)
    {
        var scanner = new StopScanner(stops);
        string text = string.Concat(pieces.Select(scanner.Push));
        return scanner.IsStopped ? text + "|" : text + scanner.Finish();
    }

    [Theory]
    [InlineData("the end. And more", "the |", "end")]
    [InlineData("no stop here", "no stop here", "END")]
    [InlineData("abababc tail", "ab|", "ababc")]
    [InlineData("xx two one", "xx |", "one", "two")]
    [InlineData("almost en", "almost en", "end")]
    [InlineData("end", "|", "end")]
    public void Emits_everything_before_the_first_stop_string_however_the_text_is_split(string text, string expected, params string[] stops)
    {
        Assert.Equal(expected, Scan([text], stops));
        Assert.Equal(expected, Scan(text.Select(letter => letter.ToString()), stops));
        for (int cut = 0; cut <= text.Length; cut++) Assert.Equal(expected, Scan([text[..cut], text[cut..]], stops));
    }

    [Fact]
    public void Text_that_can_no_longer_become_a_stop_string_is_not_held_back()
    {
        var scanner = new StopScanner(["stop"]);
        Assert.Equal("", scanner.Push("st"));
        Assert.Equal("stay", scanner.Push("ay"));
        Assert.Equal("", scanner.Push("sto"));
        Assert.Equal("sto", scanner.Finish());
    }

    [Fact]
    public void Any_split_of_any_text_gives_what_a_search_of_the_whole_gives()
    {
        Gen<string> letters = Gen.Elements('a', 'b').ArrayOf().Select(array => new string(array));
        var cases = from text in letters.ArrayOf() from stop in letters where stop.Length is > 0 and < 5 select (text, stop);
        Prop.ForAll(cases.ToArbitrary(), sample =>
        {
            string whole = string.Concat(sample.text);
            int found = whole.IndexOf(sample.stop, StringComparison.Ordinal);
            return Scan(sample.text, sample.stop) == (found < 0 ? whole : whole[..found] + "|");
        }).QuickCheckThrowOnFailure();
    }
}
