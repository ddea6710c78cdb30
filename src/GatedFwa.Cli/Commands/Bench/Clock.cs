using System.Diagnostics;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Times work between two looks at what the machine can do at that moment.</summary>
internal static class Clock
{
    private const double ShortestSampleSeconds = 0.025;

    // The runtime compiles what is called often a second time, better, a tenth of a second after it noticed.
    private const double WarmUpSeconds = 0.4;

    // The longer a sample, the longer the look beside it: both must meet the same share of whatever else the machine is doing.
    private const double LookPerSample = 0.4;
    private const double ShortestLookMs = 8, LongestLookMs = 80;

    public static double Seconds(Action work)
    {
        long start = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>GF/s of a piece of work, with the FMA peak of the same threads measured before and after each sample.</summary>
    /// <param name="what">The row's name.</param>
    /// <param name="threads">How many threads work.</param>
    /// <param name="flops">Floating-point operations of one run.</param>
    /// <param name="samples">How many samples.</param>
    /// <param name="run">One run; gives the seconds that count.</param>
    public static Row Gigaflops(string what, int threads, double flops, int samples, Func<double> run)
    {
        WorkerPool.Shared.Threads = threads;
        double once = WarmUp(run);
        int repeats = Math.Max(1, (int)Math.Ceiling(ShortestSampleSeconds / once));
        double lookMs = Math.Clamp(LookPerSample * repeats * once * 1000, ShortestLookMs, LongestLookMs);
        return new Row(what, threads, "GF/s", Take(samples, () => MachinePeak.FmaGigaflops(threads, lookMs), () =>
        {
            double seconds = 0;
            for (int i = 0; i < repeats; i++) seconds += run();
            return repeats * flops / seconds / 1e9;
        }));
    }

    /// <summary>Runs until everything is compiled and touched.</summary>
    /// <returns>What the last run gave.</returns>
    public static double WarmUp(Func<double> run)
    {
        long start = Stopwatch.GetTimestamp();
        double last;
        do
        {
            last = run();
        }
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < WarmUpSeconds);
        return last;
    }

    /// <summary>Samples, each with the mean of a limit measured before and after it.</summary>
    public static Sample[] Take(int samples, Func<double> limit, Func<double> value)
    {
        var taken = new Sample[samples];
        for (int i = 0; i < samples; i++)
        {
            double before = limit();
            double measured = value();
            taken[i] = new Sample(measured, (before + limit()) / 2);
        }

        return taken;
    }
}
