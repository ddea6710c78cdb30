using System.Globalization;
using System.Xml.Linq;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Training.Comparisons;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Comparisons;

/// <summary>What is measured is what is there, and what is written is what was measured.</summary>
public abstract class ComparisonMeasurementSuite(TestBackend backend) : TensorTest(backend)
{
    private readonly TemporaryFolder _folder = new();

    protected override void Cleanup() => _folder.Dispose();

    [Fact]
    public void Every_mixer_there_is_has_a_row_of_figures()
    {
        ComparisonResult result = TinyComparison.Run(Options([.. Mixer.All]), Backend);
        Assert.Null(result.Failures.Select(outcome => outcome.Failure).FirstOrDefault());
        Assert.Equal(Mixer.All, result.Rows.Select(row => row.Mixer));
        foreach (RunMeasurement run in result.Rows.Select(row => Assert.Single(row.Measurements)))
        {
            Assert.InRange(run.Loss, 0.5, 5);
            Assert.InRange(run.LastQuarterLoss!.Value, 0.5, 5);
            Assert.True(run.TokensPerSecond > 0);
            Assert.Equal(TinyRun.Options("").Steps * 64 / run.TokensPerSecond, run.Seconds, 9); // 2 × 2 windows of 16 a step.
            Assert.Equal([320L, 640L, 768L], run.Curve.Select(point => point.Tokens));
            Assert.InRange(run.Curve[^1].Seconds / run.Seconds, 1 - 1e-9, 1 + 1e-9);
            // Weights, gradients and two moments, and something to compute with.
            Assert.InRange(run.StepBytes, 16 * run.Parameters, 200 * run.Parameters);
        }
    }

    [Fact]
    public void The_state_of_a_decoder_grows_only_without_a_window()
    {
        ComparisonResult result = TinyComparison.Run(Options(Mixer.Full, Mixer.SlidingWindow, Mixer.GatedFull, Mixer.GatedFwa), Backend);
        DecodeStateSize[] sizes = [.. result.Rows.Select(row => row.Measurements[0].DecodeState)];
        ModelConfig model = TinyRun.Model;
        // Keys and values in the type of activations, decays in F32.
        int keys = 2 * model.KeyHeads * model.HeadSize * Backend.Activations.Bytes() * model.Layers;
        int decays = sizeof(float) * model.Heads * model.Layers;
        Assert.Equal([keys, 0, keys + decays, 0], sizes.Select(size => size.BytesPerToken));
        int shift = keys; // The last token's key and value.
        Assert.Equal(
            [(keys * 4096L) + shift, (keys * 8) + shift, ((keys + decays) * 4096L) + shift, ((keys + decays) * 8) + shift],
            sizes.Select(size => (long)size.After(DecodeStateSize.TableTokens)));
        Assert.Equal((keys * 65536.0) + shift, sizes[0].After(65536));
    }

    [Fact]
    public void Table_and_chart_hold_what_was_measured()
    {
        ComparisonOptions options = Options(Mixer.Full, Mixer.GatedFwa) with { Seeds = [0, 1], Machine = "a tiny machine" };
        ComparisonResult result = TinyComparison.Run(options, Backend);
        string table = File.ReadAllText(_folder["compare/comparison.md"]);
        foreach (ComparisonRow row in result.Rows)
        {
            string line = Assert.Single(table.Split('\n'), line => line.StartsWith($"| {row.Mixer.Name} |", StringComparison.Ordinal));
            string[] cells = line.Trim('|', ' ').Split(" | ");
            SeedStatistics loss = row.Over(run => run.Loss)!.Value;
            Assert.Equal(string.Create(CultureInfo.InvariantCulture, $"{loss.Mean:F4} ± {loss.Deviation:F4}"), cells[2]);
            Assert.Equal(row.Measurements.Average(run => run.Loss), loss.Mean, 12);
            double half = (row.Measurements[0].Loss - row.Measurements[1].Loss) / 2;
            Assert.Equal(Math.Abs(half) * Math.Sqrt(2), loss.Deviation!.Value, 12);
            Assert.Equal(row.Mixer == Mixer.Full, cells[^1] != "constant");
        }

        Assert.Contains("a tiny machine", table, StringComparison.Ordinal);
        XElement svg = XElement.Parse(File.ReadAllText(_folder["compare/comparison.svg"]));
        string[] texts = [.. Named(svg, "text").Select(text => text.Value)];
        foreach (ComparisonRow row in result.Rows)
            Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"{row.Mixer} {row.Over(run => run.Loss)!.Value.Mean:F4}"), texts);
        // Four panels with a line a mixer, and a dot on each measurement of three of them.
        Assert.Equal(4 * 2, Named(svg, "polyline").Count());
        Assert.Equal(2 * (3 + 3 + 16), Named(svg, "circle").Count());
        Assert.DoesNotContain("NaN", svg.ToString(), StringComparison.Ordinal);
        double[] falling = [.. Named(svg, "circle").Take(3).Select(dot => (double)dot.Attribute("cy")!)];
        Assert.Equal(falling.Order(), falling); // Falling loss: further down the page.
        Assert.True(falling[^1] > falling[0]);
    }

    private ComparisonOptions Options(params Mixer[] mixers) => TinyComparison.Options(_folder["compare"], mixers);

    private static IEnumerable<XElement> Named(XElement svg, string name) =>
        svg.Descendants().Where(element => element.Name.LocalName == name);
}

public sealed class ComparisonMeasurementTests() : ComparisonMeasurementSuite(TestBackend.Cpu);

public sealed class ComparisonMeasurementCudaBFloat16Tests() : ComparisonMeasurementSuite(TestBackend.CudaBFloat16);
