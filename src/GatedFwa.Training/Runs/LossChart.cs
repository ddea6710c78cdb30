using System.Globalization;
using System.Text;

namespace GatedFwa.Training.Runs;

/// <summary>
/// Draws <c>loss.svg</c>: training loss and validation in bits a byte against steps, and the order-3 byte model as a line to beat.
/// </summary>
internal static class LossChart
{
    private const double Width = 860, Height = 440;
    private const double Left = 56, Right = 150, Top = 52, Bottom = 46;
    private const double LabelGap = 17; // Labels at the right edge stay legible when lines end close together.
    private const int MostPoints = 600;

    private const string Style = """
        text { font: 12.5px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a; }
        .title { font-size: 15px; font-weight: 600; fill: #1f2328; }
        .paper { fill: #ffffff; } .grid { stroke: #d8dee4; stroke-width: 1; }
        .raw { stroke: #54aeff; opacity: .35; } .training { stroke: #0969da; } .validation { stroke: #bc4c00; } .baseline { stroke: #6e7781; stroke-dasharray: 6 5; }
        .line { fill: none; stroke-width: 2; stroke-linejoin: round; } .raw { stroke-width: 1; }
        .dot { fill: #bc4c00; } .is-training { fill: #0969da; } .is-validation { fill: #bc4c00; } .is-baseline { fill: #57606a; }
        @media (prefers-color-scheme: dark) {
          text { fill: #9198a1; } .title { fill: #f0f6fc; } .paper { fill: #0d1117; } .grid { stroke: #30363d; }
          .raw { stroke: #1f6feb; } .training { stroke: #58a6ff; } .validation { stroke: #f0883e; } .baseline { stroke: #8b949e; }
          .dot { fill: #f0883e; } .is-training { fill: #58a6ff; } .is-validation { fill: #f0883e; } .is-baseline { fill: #9198a1; }
        }
        """;

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
        Axis axis = Axis.For(steps, baseline, [.. smooth.Concat(validation).Select(point => point.Bits)]);

        var svg = new StringBuilder();
        svg.Append(Invariant($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" role=\"img\" "));
        svg.Append("aria-label=\"Training run: bits per byte against steps\">\n");
        svg.Append("<style>\n").Append(Style).Append("\n</style>\n");
        svg.Append(Invariant($"<clipPath id=\"plot\"><rect x=\"{Left}\" y=\"{Top}\" width=\"{Width - Left - Right}\" height=\"{Height - Top - Bottom}\"/></clipPath>\n"));
        svg.Append(Invariant($"<rect class=\"paper\" width=\"{Width}\" height=\"{Height}\" rx=\"8\"/>\n"));
        svg.Append(Invariant($"<text class=\"title\" x=\"{Left}\" y=\"28\">Bits per byte</text>\n"));
        AppendGrid(svg, axis);
        svg.Append("<g clip-path=\"url(#plot)\">\n");
        AppendLine(svg, "raw", Thin(training), axis);
        AppendLine(svg, "baseline", [(0, baseline), (steps, baseline)], axis);
        AppendLine(svg, "training", Thin(smooth), axis);
        AppendLine(svg, "validation", validation, axis);
        foreach ((double step, double bits) in validation)
            svg.Append(Invariant($"<circle class=\"dot\" cx=\"{axis.X(step):F1}\" cy=\"{axis.Y(bits):F1}\" r=\"3\"/>\n"));
        svg.Append("</g>\n");
        AppendLabels(svg, axis, [("baseline", "order-3 bytes", baseline), .. Last("training", smooth), .. Last("validation", validation)]);
        return svg.Append("</svg>\n").ToString();
    }

    private static IEnumerable<(string Kind, string Name, double Bits)> Last(string kind, (double Step, double Bits)[] points) =>
        points.Length == 0 ? [] : [(kind, kind, points[^1].Bits)];

    private static void AppendGrid(StringBuilder svg, Axis axis)
    {
        foreach (double bits in axis.BitTicks())
        {
            svg.Append(Invariant($"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{axis.Y(bits):F1}\" y2=\"{axis.Y(bits):F1}\"/>"));
            svg.Append(Invariant($"<text x=\"{Left - 8}\" y=\"{axis.Y(bits) + 4:F1}\" text-anchor=\"end\">{bits:0.##}</text>\n"));
        }

        foreach (double step in axis.StepTicks())
            svg.Append(Invariant($"<text x=\"{axis.X(step):F1}\" y=\"{Height - Bottom + 20}\" text-anchor=\"middle\">{step:#,0}</text>\n"));
        svg.Append(Invariant($"<text x=\"{Left + ((Width - Left - Right) / 2)}\" y=\"{Height - 8}\" text-anchor=\"middle\">steps</text>\n"));
    }

    private static void AppendLine(StringBuilder svg, string kind, IReadOnlyCollection<(double Step, double Bits)> points, Axis axis)
    {
        if (points.Count < 2) return;
        svg.Append(Invariant($"<polyline class=\"line {kind}\" points=\""));
        foreach ((double step, double bits) in points) svg.Append(Invariant($"{axis.X(step):F1},{axis.Y(bits):F1} "));
        svg.Append("\"/>\n");
    }

    private static void AppendLabels(StringBuilder svg, Axis axis, IEnumerable<(string Kind, string Name, double Bits)> labels)
    {
        double lowest = double.NegativeInfinity;
        foreach ((string kind, string name, double bits) in labels.OrderByDescending(label => label.Bits))
        {
            lowest = Math.Max(axis.Y(bits) + 4, lowest + LabelGap);
            svg.Append(Invariant($"<text class=\"is-{kind}\" x=\"{Width - Right + 10}\" y=\"{lowest:F1}\">{name} {bits:F3}</text>\n"));
        }
    }

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

    private static (double Step, double Bits)[] Thin((double Step, double Bits)[] points)
    {
        int stride = (points.Length + MostPoints - 1) / MostPoints;
        return stride <= 1 ? points : [.. points.Where((_, i) => i % stride == 0 || i == points.Length - 1)];
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>Where a value lies in the picture.</summary>
    private readonly record struct Axis(double Steps, double Low, double High, double BitStep)
    {
        /// <summary>
        /// From a little below the lowest value to a little above the baseline: the first steps' fall from 8 bits says nothing.
        /// </summary>
        public static Axis For(int steps, double baseline, IReadOnlyCollection<double> values)
        {
            double lowest = values.Append(baseline).Min(), highest = Math.Max(baseline, Math.Min(values.DefaultIfEmpty(8).Max(), 2 * baseline));
            double step = NiceStep((highest - lowest) / 5);
            return new Axis(steps, Math.Max(0, Math.Floor((lowest - (step / 4)) / step) * step), Math.Ceiling(highest / step) * step, step);
        }

        public double X(double step) => Left + (step / Steps * (Width - Left - Right));

        public double Y(double bits) => Height - Bottom - ((bits - Low) / (High - Low) * (Height - Top - Bottom));

        public IEnumerable<double> BitTicks() => Ticks(Low, High, BitStep);

        public IEnumerable<double> StepTicks() => Ticks(0, Steps, Math.Max(1, NiceStep(Steps / 6)));

        private static IEnumerable<double> Ticks(double low, double high, double step)
        {
            for (int i = 0; low + (i * step) <= high + (step / 1000); i++) yield return low + (i * step);
        }

        /// <summary>The next 1, 2 or 5 times a power of ten.</summary>
        private static double NiceStep(double least)
        {
            double power = Math.Pow(10, Math.Floor(Math.Log10(Math.Max(least, 1e-3))));
            double first = least / power;
            return power * (first <= 1 ? 1 : first <= 2 ? 2 : first <= 5 ? 5 : 10);
        }
    }
}
