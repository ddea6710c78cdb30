using System.Xml.Linq;
using GatedFwa.Training.Runs;

namespace GatedFwa.Training.Tests.Runs;

public sealed class LossChartTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(5000)]
    public void Is_a_picture_that_stands_for_itself_at_any_moment_of_a_run(int done)
    {
        XElement svg = XElement.Parse(LossChart.Draw(Lines(done), 5000, 1.76));
        Assert.Equal("svg", svg.Name.LocalName);
        Assert.DoesNotContain(svg.DescendantsAndSelf().Attributes(), attribute => attribute.Name.LocalName is "href" or "src");
        Assert.DoesNotContain("NaN", svg.ToString(), StringComparison.Ordinal);
        Assert.Contains("prefers-color-scheme: dark", svg.ToString(), StringComparison.Ordinal);
        Assert.Contains("order-3 bytes 1.760", svg.ToString(), StringComparison.Ordinal);
        Assert.InRange(svg.ToString().Length, 500, 60_000);
    }

    [Fact]
    public void Points_lie_where_their_values_say()
    {
        XElement svg = XElement.Parse(LossChart.Draw(Lines(5000), 5000, 1.76));
        XElement[] dots = [.. svg.Descendants().Where(element => element.Name.LocalName == "circle")];
        double[] heights = [.. dots.Select(dot => (double)dot.Attribute("cy")!)];
        Assert.Equal(10, dots.Length);
        Assert.Equal(heights.Order(), heights); // Falling bits: further down the page.
        Assert.True(heights[^1] - heights[0] > 40);
    }

    private static MetricsLine[] Lines(int count) => [.. Enumerable.Range(1, count).Select(step => new MetricsLine
    {
        Step = step,
        Loss = 0.9 + (4.6 * Math.Exp(-step / 300.0)),
        LearningRate = 0.001,
        GradientNorm = 1,
        TokensPerSecond = 1000,
        ValidationBitsPerByte = step % 500 == 0 ? 1.3 + (3 * Math.Exp(-step / 900.0)) : null,
    })];
}
