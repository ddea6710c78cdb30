using GatedFwa.Training;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>Step, a bar as wide as there is room for, and the figures, on one line of any width.</summary>
/// <remarks>An empty line stands above it: of a live display of a single line Spectre.Console asks the terminal to go up by 0
/// lines, which terminals take for 1.</remarks>
internal sealed class ProgressLine(TrainingProgress progress) : IRenderable
{
    private const int ShortestBar = 4, LongestBar = 40, Gaps = 4;

    public static string Counter(TrainingProgress progress) => $"step {Words.Count(progress.Step)}/{Words.Count(progress.Steps)}";

    public static string Figures(TrainingProgress progress)
    {
        string valid = progress.Validation switch
        {
            { BitsPerByte: { } bits } => $"  valid {Words.Number(bits, "F3")} bpb",
            { Accuracy: { } accuracy } => $"  accuracy {Words.Number(accuracy * 100, "F1")}%",
            _ => "",
        };
        string speed = Words.Count((long)progress.TokensPerSecond);
        return $"loss {Words.Number(progress.Loss, "F3")}{valid}  {speed} tok/s  {Words.Duration(progress.Left)} left";
    }

    public Measurement Measure(RenderOptions options, int maxWidth) => new(1, maxWidth);

    public IEnumerable<Segment> Render(RenderOptions options, int maxWidth)
    {
        string counter = Counter(progress), figures = Figures(progress);
        // A line that fills the last column would wrap on some terminals.
        int room = maxWidth - 1 - counter.Length - figures.Length - Gaps;
        if (room < ShortestBar)
        {
            string line = $"{counter}  {figures}";
            return [Segment.LineBreak, new Segment(line[..Math.Min(line.Length, Math.Max(1, maxWidth - 1))])];
        }

        int bar = Math.Min(room, LongestBar);
        int done = (int)((long)bar * progress.Step / progress.Steps);
        char full = options.Unicode ? '━' : '#', empty = options.Unicode ? '─' : '-';
        return
        [
            Segment.LineBreak,
            new Segment(counter + "  "),
            new Segment(new string(full, done), new Style(Color.Green)),
            new Segment(new string(empty, bar - done), new Style(Color.Grey)),
            new Segment("  " + figures),
        ];
    }
}
