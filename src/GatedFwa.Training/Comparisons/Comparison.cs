using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Memory;
using GatedFwa.Training.Data;
using GatedFwa.Training.Runs;

namespace GatedFwa.Training.Comparisons;

/// <summary>
/// Trains models that differ in their mixer alone: the same text in the same order, the same steps, the same seeds. Each is an
/// ordinary run in a folder of its own; beside them lie a table and a chart of what was measured.
/// </summary>
/// <remarks>
/// <para>What is finished is never trained again, and what was interrupted goes on where it stopped, with the same bits. A run that
/// fails keeps no other from being trained.</para>
/// <para>The weights of two models that have the same name and seed are the same, too.</para>
/// </remarks>
/// <example>
/// <code>
/// var options = new ComparisonOptions
/// {
///     Model = ModelConfig.Preset("nano"),
///     Training = new TrainerOptions { Output = "runs/compare", Steps = 1000 },
/// };
/// DocumentSplit data = DocumentSplit.Of(TextFiles.Read(["texts/**/*.txt"]), seed: 0);
/// ComparisonResult result = Comparison.Start(options, data).Run();
/// </code>
/// </example>
public sealed class Comparison
{
    private readonly ComparisonOptions _options;
    private readonly DocumentSplit _data;
    private readonly ComparisonFolder _folder;
    private readonly Device _device;
    private readonly DType? _activations;
    private readonly Dictionary<ComparisonRun, ComparisonOutcome> _outcomes = [];

    private Comparison(ComparisonOptions options, DocumentSplit data, Device device, DType? activations)
    {
        (_options, _data, _device, _activations) = (options, data, device, activations);
        _folder = new ComparisonFolder(options.Training.Output);
        // All mixers before the next seed: a comparison that is stopped has something to compare.
        Runs = [.. from seed in options.Seeds from mixer in options.Mixers select Of(mixer, seed)];
    }

    /// <summary>The runs, in the order in which they are trained.</summary>
    public IReadOnlyList<ComparisonRun> Runs { get; }

    /// <summary>Begins a comparison; nothing is trained yet.</summary>
    /// <param name="options">Which mixers, and how each of them is trained.</param>
    /// <param name="data">The text, for all seeds.</param>
    /// <param name="device">Where to train; the CPU unless given.</param>
    /// <param name="activations">The type of activations: F32 on the CPU; on a GPU BF16 unless given, or F32 or F16.</param>
    /// <exception cref="InputException">Settings and text make no comparison, or the folder holds one already or cannot
    /// be written.</exception>
    public static Comparison Start(ComparisonOptions options, DocumentSplit data, Device device = default, DType? activations = null)
    {
        ComparisonOptions own = Checked(options);
        var folder = new ComparisonFolder(own.Training.Output);
        folder.RefuseToReplace();
        // What no run could learn from is said before the folder is taken.
        data.Check(own.Model, own.Training);
        data.Batches(own.Training);
        AtomicFile.CreateDirectory(own.Training.Output);
        folder.Write(SettingsOf(own, data, device, activations));
        return new Comparison(own, data, device, activations);
    }

    /// <summary>Goes on with a comparison. Mixers and seeds that were not in it are added.</summary>
    /// <param name="options">As when it began; see <see cref="ReadSettings"/>.</param>
    /// <param name="data">The text, as when it began.</param>
    /// <param name="device">The device, as when it began: times of two would not compare.</param>
    /// <param name="activations">The type of activations, as when it began.</param>
    /// <exception cref="InputException">There is no comparison, it was begun with other settings or another text, or another process is
    /// at it.</exception>
    public static Comparison Resume(ComparisonOptions options, DocumentSplit data, Device device = default, DType? activations = null)
    {
        ComparisonOptions own = Checked(options);
        var folder = new ComparisonFolder(own.Training.Output);
        ComparisonSettings saved = folder.ReadSettings(), asked = SettingsOf(own, data, device, activations);
        var settings = new SettingsComparison("The comparison", own.Training.Output);
        settings.Check(saved.Model, asked.Model);
        settings.Check(saved.Training, asked.Training);
        if ((saved.Device, saved.Activations) != (asked.Device, asked.Activations))
        {
            throw new InputException(
                $"The comparison in \"{own.Training.Output}\" was started on {saved.Device} in {saved.Activations}, not on " +
                $"{asked.Device} in {asked.Activations}, and times of two do not compare; " +
                "name the first with --device and --dtype, or start a new comparison in another folder.");
        }

        settings.CheckText(saved.DataFingerprint, asked.DataFingerprint);
        // Another process that is at it knows nothing of what is added here.
        using RunLock held = folder.Lock();
        saved = folder.ReadSettings();
        saved = saved with { Mixers = [.. saved.Mixers.Union(asked.Mixers)], Seeds = [.. saved.Seeds.Union(asked.Seeds)] };
        folder.Write(saved);
        return new Comparison(own with { Mixers = Parse(saved.Mixers), Seeds = saved.Seeds }, data, device, activations);
    }

    /// <summary>
    /// Refuses a folder in which a new comparison would replace one; <see cref="Start"/> does so, too, after a text was read.
    /// </summary>
    /// <param name="output">The folder; it need not exist.</param>
    /// <exception cref="InputException">It holds one.</exception>
    public static void CheckOutput(string output) => new ComparisonFolder(output).RefuseToReplace();

    /// <summary>The options that a comparison was begun with, to resume it.</summary>
    /// <param name="output">The comparison's folder.</param>
    /// <exception cref="InputException">There is none, or it is damaged.</exception>
    public static ComparisonOptions ReadSettings(string output)
    {
        ComparisonSettings settings = new ComparisonFolder(output).ReadSettings();
        return new ComparisonOptions
        {
            Mixers = Parse(settings.Mixers),
            Seeds = settings.Seeds,
            Model = settings.Model,
            Training = settings.Training with { Output = output },
        };
    }

    /// <summary>Trains what is not finished, and writes table and chart after each run.</summary>
    /// <param name="view">Watches.</param>
    /// <param name="cancellation">Stops after the current step, which is saved.</param>
    /// <exception cref="InputException">Table or chart cannot be written, or another process is at this comparison. What goes wrong
    /// inside a run is told in the result.</exception>
    public ComparisonResult Run(IComparisonView? view = null, CancellationToken cancellation = default)
    {
        using RunLock held = _folder.Lock();
        foreach (ComparisonRun run in Runs)
        {
            if (cancellation.IsCancellationRequested) break;
            ComparisonOutcome outcome = _outcomes[run] = Attempt(run, view, cancellation);
            _folder.Publish(Result());
            view?.Ended(outcome);
        }

        return Result();
    }

    private static ComparisonOptions Checked(ComparisonOptions options)
    {
        if (options.Mixers.Count == 0) throw new InputException("There is no mixer to compare; name at least one.");
        if (options.Seeds.Count == 0) throw new InputException("There is no seed to compare with; name at least one.");
        return options with
        {
            Mixers = [.. options.Mixers.Distinct()],
            Seeds = [.. options.Seeds.Distinct()],
            Model = options.Model.Validate(),
            Training = options.Training.Validate() with { EvaluateByContext = true, Seed = 0 },
        };
    }

    private static ComparisonSettings SettingsOf(ComparisonOptions options, DocumentSplit data, Device device, DType? activations) => new()
    {
        Mixers = [.. options.Mixers.Select(mixer => mixer.Name)],
        Seeds = options.Seeds,
        Device = device.ToString(),
        Activations = $"{activations ?? LanguageModel.DefaultActivations(device)}",
        DataFingerprint = data.Fingerprint(),
        Model = options.Model,
        Training = options.Training,
    };

    private static Mixer[] Parse(IEnumerable<string> names) => [.. names.Select(Mixer.Parse)];

    private ComparisonRun Of(Mixer mixer, ulong seed) =>
        new(mixer, seed, Path.Combine(_options.Training.Output, mixer.Name, $"seed-{seed}"));

    private ComparisonOutcome Attempt(ComparisonRun run, IComparisonView? view, CancellationToken cancellation)
    {
        int step = 0;
        try
        {
            if (ComparisonFolder.ReadMeasurement(run) is { } finished)
                return new(run, finished, null, _options.Training.Steps, WasFinished: true);
            ModelConfig model = run.Mixer.In(_options.Model);
            TrainerOptions options = _options.Training with { Output = run.Output, Seed = run.Seed };
            RunMeasurement measurement;
            using (Trainer trainer = Open(run, model, options))
            {
                TrainingResult Train(Action<TrainingProgress>? report) => trainer.Run(report, cancellation);
                bool completed = (view is null ? Train(null) : view.Watch(run, Train)).Completed;
                step = trainer.Step;
                if (!completed) return new(run, null, null, step, WasFinished: false);
                measurement = RunMeter.Measure(trainer, options, _data);
            }

            measurement = measurement with
            {
                StepBytes = RunMeter.StepBytes(model, options, _data, _device, _activations),
                Machine = _options.Machine,
            };
            ComparisonFolder.Write(run, measurement);
            return new(run, measurement, null, step, WasFinished: false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // Whatever it is, what the others have shown stands.
            return new(run, null, exception, step, WasFinished: false);
        }
        finally
        {
            // The blocks of one model rarely fit the next.
            DeviceMemory.Trim(_device);
        }
    }

    private Trainer Open(ComparisonRun run, ModelConfig model, TrainerOptions options) =>
        Trainer.HasRun(run.Output)
            ? Trainer.Resume(model, options, _data, _device, _activations)
            : Trainer.Start(model, options, _data, _device, _activations);

    private ComparisonResult Result() => new(
        _options,
        $"{_device} in {_activations ?? LanguageModel.DefaultActivations(_device)}",
        [.. _options.Mixers.Select(mixer => new ComparisonRow(mixer, [.. Tried(mixer)]))]);

    private IEnumerable<ComparisonOutcome> Tried(Mixer mixer) =>
        Runs.Where(run => run.Mixer == mixer).Select(run => _outcomes.GetValueOrDefault(run)).OfType<ComparisonOutcome>();
}
