using System.Globalization;
using System.Text;

namespace GatedFwa.Training.Charts;

/// <summary>An SVG that stands for itself and follows the reader's light or dark colours.</summary>
internal sealed class Picture
{
    private const string Style = """
        text { font: 12.5px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a; }
        .title { font-size: 15px; font-weight: 600; fill: #1f2328; }
        .paper { fill: #ffffff; } .grid { stroke: #d8dee4; stroke-width: 1; }
        .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
        """;

    private const string DarkStyle =
        "text { fill: #9198a1; } .title { fill: #f0f6fc; } .paper { fill: #0d1117; } .grid { stroke: #30363d; }";

    private readonly StringBuilder _svg = new();

    /// <summary>Begins an empty sheet.</summary>
    /// <param name="width">Its width in pixels.</param>
    /// <param name="height">Its height.</param>
    /// <param name="label">What it shows, for people who do not see it.</param>
    /// <param name="light">How what is drawn looks.</param>
    /// <param name="dark">What is different on a dark ground.</param>
    public Picture(double width, double height, string label, string light, string dark)
    {
        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">");
        Line($"<style>\n{Style}\n{light}\n@media (prefers-color-scheme: dark) {{\n{DarkStyle}\n{dark}\n}}\n</style>");
        Line($"<rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>");
    }

    /// <summary>Adds a piece.</summary>
    public void Add(FormattableString text) => _svg.Append(text.ToString(CultureInfo.InvariantCulture));

    /// <summary>Adds a piece that ends its line.</summary>
    public void Line(FormattableString text)
    {
        Add(text);
        _svg.Append('\n');
    }

    /// <summary>The file.</summary>
    public override string ToString() => $"{_svg}</svg>\n";
}
