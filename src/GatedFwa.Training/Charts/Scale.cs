using System.Globalization;

namespace GatedFwa.Training.Charts;

/// <summary>The values along one axis.</summary>
/// <param name="Low">Where it begins.</param>
/// <param name="High">Where it ends.</param>
/// <param name="Ticks">The values it names.</param>
internal readonly record struct Scale(double Low, double High, IReadOnlyList<Tick> Ticks)
{
    private const double LeastStep = 1e-3;

    /// <summary>From 0 to exactly the last value, with about so many round values on the way.</summary>
    public static Scale FromZero(double high, int ticks, double leastStep, string format) =>
        new(0, high, Named(0, high, Math.Max(leastStep, NiceStep(high / ticks)), format));

    /// <summary>From one round value to another, so that what is shown lies inside, a little above the lower one.</summary>
    public static Scale Around(double lowest, double highest, int ticks, string format)
    {
        double step = NiceStep((highest - lowest) / ticks);
        double low = Math.Max(0, Math.Floor((lowest - (step / 4)) / step) * step), high = Math.Ceiling(highest / step) * step;
        if (high <= low) high = low + step; // All values are one.
        return new(low, high, Named(low, high, step, format));
    }

    /// <summary>Which part of the axis lies before a value.</summary>
    public double Share(double value) => (value - Low) / (High - Low);

    private static Tick[] Named(double low, double high, double step, string format)
    {
        int count = (int)Math.Floor((high - low + (step / 1000)) / step) + 1;
        return
        [
            .. from i in Enumerable.Range(0, count)
               let value = low + (i * step)
               select new Tick(value, value.ToString(format, CultureInfo.InvariantCulture)),
        ];
    }

    /// <summary>The next 1, 2 or 5 times a power of ten.</summary>
    private static double NiceStep(double least)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(Math.Max(least, LeastStep))));
        double first = least / power;
        return power * (first <= 1 ? 1 : first <= 2 ? 2 : first <= 5 ? 5 : 10);
    }
}
