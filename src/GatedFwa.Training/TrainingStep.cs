using System.Globalization;
using System.Numerics;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Training.Data;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Training;

/// <summary>What a step found.</summary>
/// <param name="Loss">Mean nats a token.</param>
/// <param name="GradientNorm">Before clipping; not finite where float16 overflowed, and the step then changed nothing.</param>
/// <param name="LearningRate">Its learning rate.</param>
internal readonly record struct StepOutcome(double Loss, double GradientNorm, double LearningRate);

/// <summary>A step that has been begun. On a GPU it may still be under way.</summary>
/// <param name="Step">Its number, counted from 0.</param>
/// <param name="Read">Waits for it and gives what it found.</param>
internal sealed record PendingStep(int Step, Func<StepOutcome> Read);

/// <summary>Model, optimizer and what is learned from: one step is a function of them and of the step's number.</summary>
internal sealed class TrainingStep : IDisposable
{
    // The gradients of a target in float16 are those of its own loss times this: a power of two well within float16's range.
    private const int LossScalePerTarget = 2;

    private const int LargestLossScale = 1 << 16;

    // So many overflows in a row are no accident.
    private const int MostOverflows = 20;

    private readonly TrainerOptions _options;
    private readonly IBatchSource _batches;
    private readonly CounterRandom _dropout;
    private readonly int[] _tokens;
    private readonly int[] _targets;
    private readonly float _lossScale;
    private readonly ParameterUpdate _update;
    private int _overflows;

    /// <summary>Makes the state before step 0, or room for another.</summary>
    public TrainingStep(
        ModelConfig config, TrainerOptions options, ITrainingData data, (Device Device, DType? Activations) where, bool isInitialised)
    {
        _options = options;
        _batches = data.Batches(options);
        _dropout = new CounterRandom(options.Seed).Split(1);
        _tokens = new int[options.BatchSize * options.Context];
        _targets = new int[_tokens.Length];
        Model = isInitialised
            ? new LanguageModel(config, options.Seed, where.Device, where.Activations)
            : LanguageModel.Uninitialised(config, where.Device, where.Activations);
        Optimizer = new AdamW(Model.Parameters, new AdamWOptions
        {
            MeanDecay = options.MeanDecay,
            SquareDecay = options.SquareDecay,
            WeightDecay = options.WeightDecay,
        });
        _lossScale = Model.Activations == DType.F16 ? LossScale(options.BatchSize * _batches.TargetsPerRow) : 1;
        _update = ParameterUpdate.For(Optimizer, options.ClipNorm, options.AccumulationSteps, _lossScale);
    }

    public LanguageModel Model { get; }

    public AdamW Optimizer { get; }

    /// <summary>How many steps may be begun before the first of them is read.</summary>
    public int Lag => _update.Lag;

    /// <summary>Begins a step; on the CPU it is done then.</summary>
    /// <param name="step">Its number, counted from 0.</param>
    public PendingStep Begin(int step)
    {
        Optimizer.ClearGradients();
        for (int part = 0; part < _options.AccumulationSteps; part++)
            AddGradients(((long)step * _options.AccumulationSteps) + part, part);
        float learningRate = _options.Schedule.At(step);
        Func<StepVerdict> verdict = _update.Take(learningRate);
        return new PendingStep(step, () => Judged(step, verdict(), learningRate));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _update.Dispose();
        Optimizer.Dispose();
        Model.Dispose();
    }

    /// <summary>A mean over more targets has smaller gradients: what keeps those of a target the same.</summary>
    internal static float LossScale(int targets) =>
        (float)Math.Min(LargestLossScale, LossScalePerTarget * (long)BitOperations.RoundUpToPowerOf2((uint)targets));

    /// <exception cref="InputException">Loss or gradient are no numbers any more; weights and moments are those before the
    /// step.</exception>
    private StepOutcome Judged(int step, StepVerdict verdict, float learningRate)
    {
        if (!double.IsFinite(verdict.Loss)) throw Diverged(step, "loss of");
        _overflows = verdict.IsTaken ? 0 : _overflows + 1;
        if (!verdict.IsTaken && (_lossScale == 1 || _overflows >= MostOverflows)) throw Diverged(step, "gradient of");
        return new StepOutcome(verdict.Loss, verdict.Norm, learningRate);
    }

    private void AddGradients(long batch, int part)
    {
        _batches.Fill(batch * _options.BatchSize, _tokens, _targets);
        Shape shape = [_options.BatchSize, _options.Context];
        using var tape = new Tape();
        // Targets of the host: where most are ignored the model need not look at all.
        Tensor tokens = tape.Own(Tensor.From(_tokens, shape, Model.Device)), targets = tape.Own(Tensor.From(_targets, shape));
        CounterRandom? dropout = Model.Config.Dropout > 0 ? _dropout.Split((ulong)batch) : null;
        Tensor loss = Model.Loss(tape, tokens, targets, dropout: dropout);
        tape.Backward(loss, _lossScale / _options.AccumulationSteps);
        _update.Gather(part, loss);
    }

    /// <summary>The sentence for a run that cannot go on.</summary>
    /// <param name="step">The step, counted from 0.</param>
    /// <param name="what">What is no number.</param>
    public InputException Diverged(int step, string what)
    {
        string rate = _options.LearningRate.ToString(CultureInfo.InvariantCulture);
        return new InputException(
            $"Training became unstable: the {what} step {step + 1} is not a number; the last checkpoint in \"{_options.Output}\" " +
            $"is good, start again in another folder with a lower --lr than {rate}.");
    }
}
