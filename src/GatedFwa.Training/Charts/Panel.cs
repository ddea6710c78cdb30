namespace GatedFwa.Training.Charts;

/// <summary>A pair of axes on a picture, and what is drawn between them.</summary>
internal sealed class Panel
{
    private const double LabelGap = 17; // Labels at the right edge stay legible when lines end close together.
    private const int MostPoints = 600;

    private readonly Picture _picture;
    private readonly Frame _frame;
    private readonly Scale _x, _y;
    private readonly string _clip;

    /// <summary>Draws a title, the axes and a grid.</summary>
    /// <param name="picture">Where it lies.</param>
    /// <param name="frame">Where the axes lie.</param>
    /// <param name="title">What the values are.</param>
    /// <param name="x">The values from left to right.</param>
    /// <param name="xName">What those are.</param>
    /// <param name="y">The values from below to above.</param>
    public Panel(Picture picture, Frame frame, string title, Scale x, string xName, Scale y)
    {
        (_picture, _frame, _x, _y) = (picture, frame, x, y);
        _clip = FormattableString.Invariant($"plot-{frame.Left}-{frame.Top}");
        picture.Add($"<clipPath id=\"{_clip}\">");
        picture.Add($"<rect x=\"{frame.Left}\" y=\"{frame.Top}\" width=\"{frame.Width}\" height=\"{frame.Height}\"/>");
        picture.Line($"</clipPath>");
        picture.Line($"<text class=\"title\" x=\"{frame.Left}\" y=\"{frame.Top - 24}\">{title}</text>");
        foreach ((double value, string text) in y.Ticks)
        {
            picture.Add($"<line class=\"grid\" x1=\"{frame.Left}\" x2=\"{frame.Right}\" y1=\"{Y(value):F1}\" y2=\"{Y(value):F1}\"/>");
            picture.Line($"<text x=\"{frame.Left - 8}\" y=\"{Y(value) + 4:F1}\" text-anchor=\"end\">{text}</text>");
        }

        foreach ((double value, string text) in x.Ticks)
            picture.Line($"<text x=\"{X(value):F1}\" y=\"{frame.Bottom + 20}\" text-anchor=\"middle\">{text}</text>");
        picture.Line($"<text x=\"{frame.Left + (frame.Width / 2)}\" y=\"{frame.Bottom + 38}\" text-anchor=\"middle\">{xName}</text>");
    }

    /// <summary>A line through points, and nothing for fewer than two.</summary>
    public void Line(string kind, IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Count < 2) return;
        _picture.Add($"<polyline class=\"line {kind}\" clip-path=\"url(#{_clip})\" points=\"");
        int stride = Math.Max(1, (points.Count + MostPoints - 1) / MostPoints);
        for (int i = 0; i < points.Count; i++)
            if (i % stride == 0 || i == points.Count - 1) _picture.Add($"{X(points[i].X):F1},{Y(points[i].Y):F1} ");
        _picture.Line($"\"/>");
    }

    /// <summary>A dot on each point.</summary>
    public void Dots(string kind, IEnumerable<(double X, double Y)> points)
    {
        foreach ((double x, double y) in points)
            _picture.Line($"<circle class=\"{kind}\" clip-path=\"url(#{_clip})\" cx=\"{X(x):F1}\" cy=\"{Y(y):F1}\" r=\"3\"/>");
    }

    /// <summary>Names at the right edge, each at the height of its value where there is room.</summary>
    public void Labels(IEnumerable<(string Kind, string Text, double Value)> labels)
    {
        double lowest = double.NegativeInfinity;
        foreach ((string kind, string text, double value) in labels.OrderByDescending(label => label.Value))
        {
            lowest = Math.Max(Y(value) + 4, lowest + LabelGap);
            _picture.Line($"<text class=\"is-{kind}\" x=\"{_frame.Right + 10}\" y=\"{lowest:F1}\">{text}</text>");
        }
    }

    private double X(double value) => _frame.Left + (_x.Share(value) * _frame.Width);

    private double Y(double value) => _frame.Bottom - (_y.Share(value) * _frame.Height);
}
