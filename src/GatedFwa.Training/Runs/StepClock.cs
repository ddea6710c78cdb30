using System.Diagnostics;

namespace GatedFwa.Training.Runs;

/// <summary>Tells how long steps take, with what is no step left out.</summary>
/// <param name="elapsedBefore">Seconds that the run had taken before.</param>
internal sealed class StepClock(double elapsedBefore)
{
    // Speed is told over about this many steps.
    private const double Memory = 20;

    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private double _mark;

    /// <summary>Seconds that the run has taken.</summary>
    public double ElapsedSeconds => elapsedBefore + _watch.Elapsed.TotalSeconds;

    /// <summary>Seconds of a step over the latest ones.</summary>
    public double SecondsPerStep { get; private set; }

    /// <summary>A step has ended.</summary>
    /// <returns>Seconds since the one before ended. Of steps that overlap on a GPU it is the time between their ends that counts.</returns>
    public double Step()
    {
        double now = _watch.Elapsed.TotalSeconds, seconds = now - _mark;
        _mark = now;
        SecondsPerStep = SecondsPerStep == 0 ? seconds : SecondsPerStep + ((seconds - SecondsPerStep) / Memory);
        return seconds;
    }

    /// <summary>What has happened since the last step ended was none.</summary>
    public void Skip() => _mark = _watch.Elapsed.TotalSeconds;
}
