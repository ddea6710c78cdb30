using System.Globalization;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Training.Data;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Training;

/// <summary>What a step found.</summary>
/// <param name="Loss">Mean nats a token.</param>
/// <param name="GradientNorm">Before clipping.</param>
/// <param name="LearningRate">Its learning rate.</param>
internal readonly record struct StepOutcome(double Loss, double GradientNorm, double LearningRate);

/// <summary>Model, optimizer and text: one step is a function of them and of the step's number.</summary>
internal sealed class TrainingStep : IDisposable
{
    private readonly TrainerOptions _options;
    private readonly WindowSampler _sampler;
    private readonly CounterRandom _dropout;
    private readonly int[] _tokens;
    private readonly int[] _targets;

    public TrainingStep(ModelConfig config, TrainerOptions options, TokenStream text, Device device)
    {
        _options = options;
        _sampler = new WindowSampler(text, options.Context, options.Seed);
        _dropout = new CounterRandom(options.Seed).Split(1);
        _tokens = new int[options.BatchSize * options.Context];
        _targets = new int[_tokens.Length];
        Model = new LanguageModel(config, options.Seed, device);
        Optimizer = new AdamW(Model.Parameters, new AdamWOptions
        {
            MeanDecay = options.MeanDecay,
            SquareDecay = options.SquareDecay,
            WeightDecay = options.WeightDecay,
        });
    }

    public LanguageModel Model { get; }

    public AdamW Optimizer { get; }

    /// <summary>Takes a step.</summary>
    /// <param name="step">Its number, counted from 0.</param>
    /// <exception cref="InputException">Loss or gradient are no numbers any more; weights and moments are those before the
    /// step.</exception>
    public StepOutcome Run(int step)
    {
        foreach (Parameter parameter in Model.Parameters) parameter.ClearGradient();
        double loss = 0;
        for (int part = 0; part < _options.AccumulationSteps; part++)
            loss += AddGradients(((long)step * _options.AccumulationSteps) + part);
        loss /= _options.AccumulationSteps;
        if (!double.IsFinite(loss)) throw Diverged(step, "loss of");
        double norm = GradientNorm.Of(Model.Parameters);
        if (!double.IsFinite(norm)) throw Diverged(step, "gradient of");
        float learningRate = _options.Schedule.At(step);
        Optimizer.Step(learningRate, GradientNorm.ClipScale(norm, _options.ClipNorm));
        return new StepOutcome(loss, norm, learningRate);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Optimizer.Dispose();
        Model.Dispose();
    }

    private double AddGradients(long batch)
    {
        _sampler.Fill(batch * _options.BatchSize, _tokens, _targets);
        Shape shape = [_options.BatchSize, _options.Context];
        using var tape = new Tape();
        Tensor tokens = tape.Own(Tensor.From(_tokens, shape, Model.Device)), targets = tape.Own(Tensor.From(_targets, shape, Model.Device));
        CounterRandom? dropout = Model.Config.Dropout > 0 ? _dropout.Split((ulong)batch) : null;
        Tensor loss = Model.Loss(tape, tokens, targets, dropout: dropout);
        tape.Backward(loss, 1f / _options.AccumulationSteps);
        return loss.Item();
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
