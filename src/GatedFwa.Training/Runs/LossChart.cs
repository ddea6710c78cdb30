using System.Globalization;
using GatedFwa.Training.Charts;

namespace GatedFwa.Training.Runs;

/// <summary>
/// Draws <c>loss.svg</c>: training loss and validation in bits a byte against steps, and the order-3 byte model as a line to beat.
/// </summary>
internal static class LossChart
{
    private const double Width = 860, Height = 440;
    private const int StepTicks = 6, BitTicks = 5;

    private const string Light = """
        .raw { stroke: #54aeff; stroke-width: 1; opacity: .35; } .training { stroke: #0969da; } .validation { stroke: #bc4c00; }
        .baseline { stroke: #6e7781; stroke-dasharray: 6 5; } .dot { fill: #bc4c00; }
        .is-training { fill: #0969da; } .is-validation { fill: #bc4c00; } .is-baseline { fill: #57606a; }
        """;

    private const string Dark = """
        .raw { stroke: #1f6feb; } .training { stroke: #58a6ff; } .validation { stroke: #f0883e; } .baseline { stroke: #8b949e; }
        .dot { fill: #f0883e; } .is-training { fill: #58a6ff; } .is-validation { fill: #f0883e; } .is-baseline { fill: #9198a1; }
        """;

    private static readonly Frame Axes = new(Left: 56, Top: 52, Width: 654, Height: 342);

    /// <summary>The picture, as a file that stands for itself.</summary>
    /// <param name="lines">The steps so far.</param>
    /// <param name="steps">Steps in all: the width of the picture.</param>
    /// <param name="baseline">Bits a byte of the order-3 byte model.</param>
    public static string Draw(IReadOnlyList<MetricsLine> lines, int steps, double baseline)
    {
        (double Step, double Bits)[] training = [.. lines.Select(line => ((double)line.Step, line.Loss / Math.Log(2)))];
        (double Step, double Bits)[] smooth = Smooth(training, Math.Max(1, steps / 50.0));
        (double Step, double Bits)[] validation =
        [
            .. lines.Where(line => line.ValidationBitsPerByte is not null)
                .Select(line => ((double)line.Step, line.ValidationBitsPerByte!.Value)),
        ];
        var picture = new Picture(Width, Height, "Training run: bits per byte against steps", Light, Dark);
        Scale across = Scale.FromZero(steps, StepTicks, leastStep: 1, "#,0");
        Scale bits = Bits(baseline, [.. smooth.Concat(validation).Select(point => point.Bits)]);
        var panel = new Panel(picture, Axes, "Bits per byte", across, "steps", bits);
        panel.Line("raw", training);
        panel.Line("baseline", [(0, baseline), (steps, baseline)]);
        panel.Line("training", smooth);
        panel.Line("validation", validation);
        panel.Dots("dot", validation);
        panel.Labels([Label("baseline", "order-3 bytes", baseline), .. Last("training", smooth), .. Last("validation", validation)]);
        return picture.ToString();
    }

    /// <summary>
    /// From a little below the lowest value to a little above the baseline: the first steps' fall from 8 bits says nothing.
    /// </summary>
    private static Scale Bits(double baseline, IReadOnlyCollection<double> values) => Scale.Around(
        values.Append(baseline).Min(),
        Math.Max(baseline, Math.Min(values.DefaultIfEmpty(8).Max(), 2 * baseline)),
        BitTicks,
        "0.##");

    private static IEnumerable<(string Kind, string Text, double Bits)> Last(string kind, (double Step, double Bits)[] points) =>
        points.Length == 0 ? [] : [Label(kind, kind, points[^1].Bits)];

    private static (string Kind, string Text, double Bits) Label(string kind, string name, double bits) =>
        (kind, string.Create(CultureInfo.InvariantCulture, $"{name} {bits:F3}"), bits);

    /// <summary>An exponential mean, so that the eye sees the course and not the batches; unbiased at the start.</summary>
    private static (double Step, double Bits)[] Smooth((double Step, double Bits)[] points, double memory)
    {
        var smooth = new (double, double)[points.Length];
        double sum = 0, weight = 0, keep = memory / (memory + 1);
        for (int i = 0; i < points.Length; i++)
        {
            sum = (keep * sum) + points[i].Bits;
            weight = (keep * weight) + 1;
            smooth[i] = (points[i].Step, sum / weight);
        }

        return smooth;
    }
}
