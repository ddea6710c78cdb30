using System.Diagnostics;
using GatedFwa.Training;
using Spectre.Console;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>Shows a run while it goes: one line that changes on a terminal, a line now and then elsewhere.</summary>
internal static class TrainingView
{
    private static readonly TimeSpan LiveInterval = TimeSpan.FromSeconds(0.1);
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(10);

    /// <summary>Runs a training and shows what it reports.</summary>
    /// <param name="train">Trains, and reports after each step.</param>
    public static TrainingResult Watch(Func<Action<TrainingProgress>, TrainingResult> train) =>
        Screen.IsLive ? WatchLive(train) : train(PlainLines());

    private static TrainingResult WatchLive(Func<Action<TrainingProgress>, TrainingResult> train)
    {
        TrainingResult? result = null;
        long shown = 0;
        Screen.Remarks.Live(new Rows(Text.Empty, new Text("The first step…"))).AutoClear(true).Start(context => result = train(progress =>
        {
            bool last = progress.Step == progress.Steps;
            if (shown != 0 && !last && Stopwatch.GetElapsedTime(shown) < LiveInterval) return;
            shown = Stopwatch.GetTimestamp();
            context.UpdateTarget(new ProgressLine(progress));
        }));
        return result!;
    }

    private static Action<TrainingProgress> PlainLines()
    {
        long shown = 0;
        return progress =>
        {
            bool due = shown == 0 || progress.Evaluated || progress.Step == progress.Steps || Stopwatch.GetElapsedTime(shown) >= PlainInterval;
            if (!due) return;
            shown = Stopwatch.GetTimestamp();
            Console.Error.WriteLine(string.Join("  ", ProgressLine.Counter(progress), ProgressLine.Figures(progress)));
        };
    }
}
