using GatedFwa.Checkpoints;
using GatedFwa.Training.Runs;

namespace GatedFwa.Training.Comparisons;

/// <summary>
/// The files of a comparison: <c>comparison.json</c> says what it was begun with, table and chart what has come of it, and each run
/// has a folder of its own, with <c>measurement.json</c> once it is finished.
/// </summary>
internal sealed class ComparisonFolder(string path)
{
    private const string SettingsFile = "comparison.json", MeasurementFile = "measurement.json";

    // MIXER/seed-SEED lies so deep.
    private static readonly EnumerationOptions Runs =
        new() { RecurseSubdirectories = true, MaxRecursionDepth = 2, IgnoreInaccessible = true };

    private string Settings => In(SettingsFile);

    public bool HasComparison => File.Exists(Settings);

    /// <summary>Refuses a folder in which a new comparison would replace one.</summary>
    /// <exception cref="InputException">It holds one, or what is left of one.</exception>
    public void RefuseToReplace()
    {
        if (HasComparison)
        {
            throw new InputException(
                $"The folder \"{path}\" holds a comparison already; continue it with --resume, or name another folder with --output.");
        }

        // Nothing says any more what they are of: they would pass for results of the new one.
        if (Directory.Exists(path) && Directory.EnumerateFiles(path, MeasurementFile, Runs).Any())
        {
            throw new InputException(
                $"The folder \"{path}\" holds measurements of a comparison whose {SettingsFile} is missing; restore it and continue with " +
                "--resume, or name another folder with --output.");
        }
    }

    /// <summary>What the comparison was begun with.</summary>
    /// <exception cref="InputException">There is none, or the file is damaged.</exception>
    public ComparisonSettings ReadSettings()
    {
        if (!HasComparison)
        {
            throw new InputException(
                $"There is no comparison to resume in \"{path}\"; leave --resume out to start one, or name its folder with --output.");
        }

        var settings = StrictJson.Read<ComparisonSettings>(Settings);
        if (settings.Mixers.Count > 0 && settings.Seeds.Count > 0) return settings;
        throw new InputException(
            $"{Phrase.Quote(Settings)} names no {(settings.Mixers.Count == 0 ? "mixer" : "seed")}, so it is damaged; restore it, " +
            "or start a new comparison in another folder.");
    }

    /// <summary>Writes what the comparison was begun with.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(ComparisonSettings settings) => AtomicFile.WriteText(Settings, StrictJson.Write(settings));

    /// <summary>Writes table and chart.</summary>
    /// <exception cref="InputException">They cannot be written.</exception>
    public void Publish(ComparisonResult result)
    {
        AtomicFile.WriteText(In("comparison.md"), ComparisonTable.Markdown(result));
        AtomicFile.WriteText(In("comparison.svg"), ComparisonChart.Draw(result));
    }

    /// <summary>Keeps other processes out.</summary>
    /// <exception cref="InputException">One is at it.</exception>
    public RunLock Lock() => new(path);

    /// <summary>What was measured of a finished run; null where it is not finished.</summary>
    /// <exception cref="InputException">The file is damaged.</exception>
    public static RunMeasurement? ReadMeasurement(ComparisonRun run) =>
        File.Exists(Measurement(run)) ? StrictJson.Read<RunMeasurement>(Measurement(run)) : null;

    /// <summary>Marks a run as finished.</summary>
    /// <exception cref="InputException">It cannot be written.</exception>
    public static void Write(ComparisonRun run, RunMeasurement measurement) =>
        AtomicFile.WriteText(Measurement(run), StrictJson.Write(measurement));

    private static string Measurement(ComparisonRun run) => Path.Combine(run.Output, MeasurementFile);

    private string In(string name) => Path.Combine(path, name);
}
