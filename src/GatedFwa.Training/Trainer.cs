using System.Diagnostics;
using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Training.Data;
using GatedFwa.Training.Optimizers;
using GatedFwa.Training.Runs;

namespace GatedFwa.Training;

/// <summary>
/// Trains a model on a text or a task and keeps its run in a folder. A run that is interrupted, in whatever way, and resumed is bit
/// for bit the run that never was: weights, moments, and metrics but for their times.
/// </summary>
/// <example>
/// <code>
/// var options = new TrainerOptions { Output = "runs/mine" };
/// DocumentSplit data = DocumentSplit.Of(TextFiles.Read(["texts/**/*.txt"]), options.Seed);
/// using Trainer trainer = Trainer.Start(ModelConfig.Preset("nano"), options, data);
/// TrainingResult result = trainer.Run(progress => Console.WriteLine(progress.Loss));
/// </code>
/// </example>
public sealed class Trainer : IDisposable
{
    private readonly TrainerOptions _options;
    private readonly ITrainingData _data;
    private readonly RunFolder _folder;
    private readonly RunLock _lock;
    private readonly MetricsLog _metrics;
    private readonly TrainingStep _step;
    private readonly Stopwatch _sinceCheckpoint = Stopwatch.StartNew();
    private RunState _state;
    private StepClock _clock = new(0);

    private Trainer(
        RunState state, ITrainingData data, RunFolder folder, RunLock held, bool restore, (Device Device, DType? Activations) where)
    {
        (_state, _options, _data, _folder, _lock) = (state, state.Options, data, folder, held);
        _step = new TrainingStep(state.Model, _options, data, where, isInitialised: !restore);
        try
        {
            if (restore) folder.Restore(_step.Optimizer);
            _metrics = new MetricsLog(folder.Metrics, state.MetricsBytes);
        }
        catch
        {
            _step.Dispose();
            throw;
        }
    }

    /// <summary>The model, as it is after the steps so far.</summary>
    public LanguageModel Model => _step.Model;

    /// <summary>How it is trained.</summary>
    public TrainerOptions Options => _options;

    /// <summary>Steps done.</summary>
    public int Step => _state.Step;

    /// <summary>What the order-3 byte model reaches on text held out; null for a task.</summary>
    public double? BaselineBitsPerByte => _state.BaselineBitsPerByte;

    /// <summary>The steps so far.</summary>
    internal IReadOnlyList<MetricsLine> Metrics => _metrics.Lines;

    /// <summary>Begins a run, with a checkpoint of step 0, which says from what its numbers follow.</summary>
    /// <param name="model">The model's configuration; its vocabulary must hold the tokens of the data.</param>
    /// <param name="options">How to train.</param>
    /// <param name="data">The text, or the task.</param>
    /// <param name="device">Where to train; the CPU unless given. A run may go on elsewhere than where it began.</param>
    /// <param name="activations">The type of activations: F32 on the CPU; on a GPU BF16 unless given, or F32 or F16.</param>
    /// <exception cref="InputException">Settings or data make no run, or the folder holds one already or cannot be written.</exception>
    public static Trainer Start(
        ModelConfig model, TrainerOptions options, ITrainingData data, Device device = default, DType? activations = null)
    {
        RunState state = NewState(model, options, data);
        var folder = new RunFolder(options.Output);
        folder.RefuseToReplace();
        AtomicFile.CreateDirectory(options.Output);
        Task<double?>? baseline = null;
        return Opened(options.Output, held =>
        {
            folder.RefuseToReplace(); // Another process may have been quicker to take the folder, and be done with it.
            // Counting takes a thread or two, and making a model mostly memory or another device.
            baseline = Task.Run(data.BaselineBitsPerByte);
            return new Trainer(state, data, folder, held, restore: false, (device, activations));
        }, trainer =>
        {
            trainer._state = trainer._state with { BaselineBitsPerByte = baseline!.GetAwaiter().GetResult() };
            trainer.Save(isFirst: true);
        });
    }

    /// <summary>Goes on with a run from its latest checkpoint.</summary>
    /// <param name="model">The model's configuration, as when the run began; see <see cref="ReadSettings"/>.</param>
    /// <param name="options">How to train, as when the run began.</param>
    /// <param name="data">The text or the task, as when the run began.</param>
    /// <param name="device">Where to train; the CPU unless given. A run may go on elsewhere than where it began.</param>
    /// <param name="activations">The type of activations: F32 on the CPU; on a GPU BF16 unless given, or F32 or F16.</param>
    /// <exception cref="InputException">
    /// There is no run, it is damaged, or it was started with other settings or from another text.
    /// </exception>
    public static Trainer Resume(
        ModelConfig model, TrainerOptions options, ITrainingData data, Device device = default, DType? activations = null)
    {
        var folder = new RunFolder(options.Output);
        folder.RequireCheckpoint();
        return Opened(options.Output, held =>
        {
            RunState saved = folder.ReadState();
            SettingsComparison.Check(saved, NewState(model, options, data));
            return new Trainer(saved with { Options = options }, data, folder, held, restore: saved.Step > 0, (device, activations));
        }, trainer =>
        {
            // Killed between a checkpoint and what is published after it, the run may have nothing left to do but that.
            trainer.Publish(isFirst: true);
        });
    }

    /// <summary>Whether a folder holds a run that could be resumed.</summary>
    /// <param name="output">The folder; it need not exist.</param>
    public static bool HasRun(string output) => new RunFolder(output).HasCheckpoint;

    /// <summary>
    /// Refuses a folder in which a new run would replace something; <see cref="Start"/> does so, too, after a text was read.
    /// </summary>
    /// <param name="output">The folder; it need not exist.</param>
    /// <exception cref="InputException">It holds a run, or files that one would replace.</exception>
    public static void CheckOutput(string output) => new RunFolder(output).RefuseToReplace();

    /// <summary>The settings that a run was started with, to resume it.</summary>
    /// <param name="output">The run's folder.</param>
    /// <exception cref="InputException">There is no run, or it is damaged.</exception>
    public static (ModelConfig Model, TrainerOptions Options) ReadSettings(string output)
    {
        RunState state = new RunFolder(output).ReadState();
        return (state.Model, state.Options with { Output = output });
    }

    /// <summary>Trains until all steps are done, a task is solved or the run is interrupted; in any case the last step is saved.</summary>
    /// <param name="progress">Called after every step.</param>
    /// <param name="cancellation">Stops after the current step.</param>
    /// <exception cref="InputException">Loss or gradient are no numbers any more, or a checkpoint cannot be written. The last good
    /// checkpoint stays.</exception>
    public TrainingResult Run(Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        _clock = new StepClock(_state.ElapsedSeconds);
        var pending = new Queue<PendingStep>();
        int savedStep = _state.Step, begun = _state.Step;
        while (begun < _options.Steps && !IsSolved && !cancellation.IsCancellationRequested)
        {
            pending.Enqueue(_step.Begin(begun++));
            // What shows or keeps the state of the run waits for every step begun; else the GPU always has one to work on.
            bool evaluates = begun % _options.EvaluationInterval == 0 || begun == _options.Steps, saves = CheckpointDue(begun);
            while (pending.Count > (evaluates || saves ? 0 : _step.Lag))
                Finish(pending.Dequeue(), evaluates && pending.Count == 0, progress);
            if (!saves) continue;
            Save(isFirst: false);
            savedStep = begun;
            _clock.Skip();
        }

        while (pending.TryDequeue(out PendingStep? step)) Finish(step, evaluates: false, progress);
        if (savedStep != _state.Step) Save(isFirst: false);
        return new TrainingResult(
            _state.Step, _options.Steps, _state.Validation, BaselineBitsPerByte, TimeSpan.FromSeconds(_state.ElapsedSeconds), IsSolved);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _metrics.Dispose();
        _step.Dispose();
        _lock.Dispose();
    }

    // Measured when no step is under way: what is solved stops at that very step.
    private bool IsSolved => _state.Validation is { } measurement && _data.IsSolved(measurement);

    private static RunState NewState(ModelConfig model, TrainerOptions options, ITrainingData data)
    {
        model.Validate();
        options.Validate();
        data.Check(model, options);
        return new RunState
        {
            Step = 0,
            ElapsedSeconds = 0,
            MetricsBytes = 0,
            BaselineBitsPerByte = 0,
            DataFingerprint = data.Fingerprint(),
            Model = model,
            Options = options,
        };
    }

    private static Trainer Opened(string output, Func<RunLock, Trainer> open, Action<Trainer> write)
    {
        var held = new RunLock(output);
        Trainer? trainer = null;
        try
        {
            trainer = open(held);
            write(trainer);
            return trainer;
        }
        catch
        {
            trainer?.Dispose();
            held.Dispose();
            throw;
        }
    }

    /// <summary>Waits for a step and writes down what it found.</summary>
    private void Finish(PendingStep pending, bool evaluates, Action<TrainingProgress>? progress)
    {
        StepOutcome outcome = pending.Read();
        double seconds = _clock.Step();
        ValidationResult? measured = evaluates ? _data.Measure(Model, _options) : null;
        // The first to see what the step did to the weights: a checkpoint of them would not be a good one.
        if (measured is { } found && !double.IsFinite(found.Loss))
            throw _step.Diverged(pending.Step, "measurement on what is held out after");
        int done = pending.Step + 1;
        _metrics.Append(Line(done, outcome, _options.TokensPerStep / seconds, measured));
        _state = _state.Measured(measured) with
        {
            Step = done,
            ElapsedSeconds = _clock.ElapsedSeconds,
            MetricsBytes = _metrics.Bytes,
        };
        progress?.Invoke(Progress(outcome, _clock.SecondsPerStep, evaluates));
        // While the host writes, a GPU is at the next step.
        if (evaluates || _step.Lag == 0) _clock.Skip();
    }

    private bool CheckpointDue(int step) =>
        (_options.CheckpointSteps > 0 && step % _options.CheckpointSteps == 0) ||
        (_options.CheckpointSeconds > 0 && _sinceCheckpoint.Elapsed.TotalSeconds >= _options.CheckpointSeconds);

    private void Save(bool isFirst)
    {
        _metrics.FlushToDisk();
        _folder.Commit(_state, _step.Optimizer);
        Publish(isFirst);
        _sinceCheckpoint.Restart();
    }

    private void Publish(bool isFirst) => _folder.Publish(_state, Model, _metrics.Lines, isFirst);

    private static MetricsLine Line(int step, StepOutcome outcome, double tokensPerSecond, ValidationResult? measured) => new()
    {
        Step = step,
        Loss = outcome.Loss,
        LearningRate = outcome.LearningRate,
        GradientNorm = double.IsFinite(outcome.GradientNorm) ? outcome.GradientNorm : null,
        TokensPerSecond = Math.Round(tokensPerSecond),
        ValidationLoss = measured?.Loss,
        ValidationBitsPerByte = measured?.BitsPerByte,
        ValidationAccuracy = measured?.Accuracy,
    };

    private TrainingProgress Progress(StepOutcome outcome, double secondsPerStep, bool evaluated) => new(
        _state.Step,
        _options.Steps,
        outcome.Loss,
        outcome.LearningRate,
        outcome.GradientNorm,
        _state.Validation,
        BaselineBitsPerByte,
        _options.TokensPerStep / secondsPerStep,
        TimeSpan.FromSeconds(_state.ElapsedSeconds),
        TimeSpan.FromSeconds((_options.Steps - _state.Step) * secondsPerStep),
        evaluated);
}
