using System.Globalization;
using System.Numerics;
using GatedFwa.Training.Charts;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Training.Comparisons;

/// <summary>
/// Draws <c>comparison.svg</c>: the validation loss against tokens and against time, the loss by position in the context, and the
/// size of a decoder's state by the length of the text.
/// </summary>
internal static class ComparisonChart
{
    private const double Width = 1180, Height = 860, LegendX = 1010;
    private const double PanelWidth = 400, PanelHeight = 300;
    private const int Ticks = 5;
    private const long FirstStateTokens = 64, LastStateTokens = 64 << 10;

    private static readonly (string Light, string Dark)[] Colours =
    [
        ("#0969da", "#58a6ff"), ("#bc4c00", "#f0883e"), ("#1a7f37", "#3fb950"), ("#8250df", "#bc8cff"), ("#bf3989", "#f778ba"),
        ("#9a6700", "#d29922"), ("#1b7c83", "#39c5cf"), ("#57606a", "#9198a1"),
    ];

    /// <summary>The picture, as a file that stands for itself.</summary>
    public static string Draw(ComparisonResult result)
    {
        var picture = new Picture(
            Width,
            Height,
            "Mixers compared: validation loss against tokens and time, loss by position, size of the decoder's state",
            Style((light, _) => light),
            Style((_, dark) => dark));
        Series[] all = [.. result.Rows.Select(Series.Of)];
        Series[] shown = [.. all.Where(series => series.Curve.Length > 0)];
        if (shown.Length > 0) DrawPanels(picture, shown, result.Options.Training);
        DrawLegend(picture, all);
        return picture.ToString();
    }

    private static void DrawPanels(Picture picture, Series[] shown, TrainerOptions training)
    {
        double tokens = training.Steps * training.TokensPerStep, seconds = shown.Max(series => series.Curve[^1].Seconds);
        Scale loss = LossScale(shown.SelectMany(series => series.Curve).Select(point => point.Loss));
        Scale across = Scale.FromZero(tokens, Ticks, 1, "#,0"), time = Scale.FromZero(seconds, Ticks, 0, "#,0.###");
        var byTokens = new Panel(picture, At(0, 0), "Validation loss, nats a byte", across, "tokens", loss);
        var byTime = new Panel(picture, At(1, 0), "The same against time", time, "seconds of training", loss);
        Scale positions = Scale.FromZero(training.Context, Ticks, 1, "#,0");
        Scale positionLoss = LossScale(shown.SelectMany(series => series.Positions).Select(bucket => bucket.Loss));
        var byPosition = new Panel(picture, At(0, 1), "Loss by position", positions, "tokens of the context seen before", positionLoss);
        Scale lengths = PowersOfTwo(FirstStateTokens, LastStateTokens, 2);
        var state = new Panel(picture, At(1, 1), "State of a decoded text, bytes", lengths, "tokens of the text", StateScale(shown));
        foreach (Series series in shown)
        {
            Draw(byTokens, series, [.. series.Curve.Select(point => ((double)point.Tokens, point.Loss))]);
            Draw(byTime, series, [.. series.Curve.Select(point => (point.Seconds, point.Loss))]);
            Draw(byPosition, series, [.. series.Positions.Select(bucket => ((bucket.First + bucket.End - 1) / 2.0, bucket.Loss))]);
            state.Line(series.Kind, [.. StatePoints(series).Select(point => (Math.Log2(point.Tokens), Math.Log2(point.Bytes)))]);
        }
    }

    private static void Draw(Panel panel, Series series, (double X, double Y)[] points)
    {
        panel.Line(series.Kind, points);
        panel.Dots(series.Kind, points);
    }

    private static void DrawLegend(Picture picture, Series[] all)
    {
        double y = 70;
        picture.Line($"<text class=\"title\" x=\"{LegendX}\" y=\"{y - 24}\">Mixers</text>");
        foreach (Series series in all)
        {
            string value = series.Curve.Length == 0 ? "not finished" : Number(series.Curve[^1].Loss, "F4");
            picture.Line($"<text class=\"is-{series.Kind}\" x=\"{LegendX}\" y=\"{y:F1}\">{series.Name} {value}</text>");
            y += 20;
        }
    }

    /// <summary>What falls from the first measurement to the last, without the steepest part where that would flatten the rest.</summary>
    private static Scale LossScale(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Where(double.IsFinite).Order().DefaultIfEmpty(1)];
        return Scale.Around(sorted[0], Math.Min(sorted[^1], 2 * sorted[0]), Ticks, "0.###");
    }

    private static Scale StateScale(Series[] shown)
    {
        double[] sizes = [.. shown.SelectMany(StatePoints).Select(point => point.Bytes)];
        return PowersOfTwo((long)sizes.Min(), (long)sizes.Max(), 2);
    }

    /// <summary>Logarithmic, to base 2; the values on it are the logarithms.</summary>
    private static Scale PowersOfTwo(long lowest, long highest, int stride)
    {
        int low = BitOperations.Log2((ulong)lowest), high = BitOperations.Log2((ulong)highest - 1) + 1;
        if (high <= low) high = low + 1;
        IEnumerable<int> powers = Enumerable.Range(low, high - low + 1).Where(power => (power - low) % stride == 0);
        return new(low, high, [.. powers.Select(power => new Tick(power, Size(power)))]);
    }

    private static string Size(int power) => power switch
    {
        >= 30 => $"{1L << (power - 30)}G",
        >= 20 => $"{1L << (power - 20)}M",
        >= 10 => $"{1L << (power - 10)}K",
        _ => $"{1L << power}",
    };

    private static IEnumerable<(double Tokens, double Bytes)> StatePoints(Series series)
    {
        for (long tokens = FirstStateTokens; tokens <= LastStateTokens; tokens *= 2) yield return (tokens, series.State.After(tokens));
    }

    private static Frame At(int column, int row) =>
        new(64 + (column * (PanelWidth + 90)), 70 + (row * (PanelHeight + 120)), PanelWidth, PanelHeight);

    private static string Style(Func<string, string, string> choose) => string.Join('\n', Colours.Select((colour, i) =>
    {
        string value = choose(colour.Light, colour.Dark);
        return $".s{i} {{ stroke: {value}; }} circle.s{i} {{ fill: {value}; }} .is-s{i} {{ fill: {value}; }}";
    }));

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    /// <summary>A mixer's lines: means over its seeds.</summary>
    private sealed record Series(string Name, string Kind, CurvePoint[] Curve, PositionBucket[] Positions, DecodeStateSize State)
    {
        public static Series Of(ComparisonRow row, int index)
        {
            IReadOnlyList<RunMeasurement> runs = row.Measurements;
            string kind = $"s{index % Colours.Length}";
            if (runs.Count == 0) return new(row.Mixer.Name, kind, [], [], new([], 0));
            return new(
                row.Mixer.Name,
                kind,
                [
                    .. runs[0].Curve.Select((point, i) => new CurvePoint(
                        point.Tokens, runs.Average(run => run.Curve[i].Seconds), runs.Average(run => run.Curve[i].Loss))),
                ],
                [.. runs[0].Positions.Select((bucket, i) => bucket with { Loss = runs.Average(run => run.Positions[i].Loss) })],
                runs[0].DecodeState);
        }
    }
}
