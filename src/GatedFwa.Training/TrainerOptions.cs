using GatedFwa.Training.Data;
using GatedFwa.Training.Optimizers;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Training;

/// <summary>
/// How a model is trained. The defaults are those of the default run; with <see cref="FittedTo"/> they suit a text of 100 KB as
/// well as one of a gigabyte.
/// </summary>
public sealed record TrainerOptions
{
    // Passed over more often, a small text is learned by heart: what it teaches of other texts then falls again (docs/log.md).
    private const int MostEpochs = 12;

    // Too few steps to learn anything from are worse than a text learned by heart.
    private const int LeastSteps = 100;

    /// <summary>The files, folders and patterns learned from; empty for the documentation of the installed SDK.</summary>
    public IReadOnlyList<string> Data { get; init; } = [];

    /// <summary>The task that is learned instead of a text.</summary>
    public RecallTask? Task { get; init; }

    /// <summary>The run's folder.</summary>
    public string Output { get; init; } = "runs/default";

    /// <summary>Optimizer steps.</summary>
    public int Steps { get; init; } = 1800;

    /// <summary>Windows of text, or examples of a task, that pass through the model at once.</summary>
    public int BatchSize { get; init; } = 12;

    /// <summary>Tokens of each of them.</summary>
    public int Context { get; init; } = 128;

    /// <summary>Batches whose gradients are added up for one step.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>The peak learning rate.</summary>
    public double LearningRate { get; init; } = 2.5e-3;

    /// <summary>The learning rate that the last step nearly reaches.</summary>
    public double FinalLearningRate { get; init; }

    /// <summary>Steps that the learning rate rises for.</summary>
    public int WarmupSteps { get; init; } = 50;

    /// <summary>Decoupled weight decay of matrices.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>AdamW's β₁.</summary>
    public float MeanDecay { get; init; } = 0.9f;

    /// <summary>AdamW's β₂.</summary>
    public float SquareDecay { get; init; } = 0.98f;

    /// <summary>The largest norm of all gradients together; 0 for no limit.</summary>
    public double ClipNorm { get; init; } = 1;

    /// <summary>Steps between evaluations on what is held out.</summary>
    public int EvaluationInterval { get; init; } = 450;

    /// <summary>
    /// Whether a model with a window, too, is measured on each <see cref="Context"/> of the text held out by itself, as it was
    /// trained and as full attention always is, instead of sliding over all of it with its cache: what models are compared by.
    /// </summary>
    public bool EvaluateByContext { get; init; }

    /// <summary>Names the weights, the order of the text, the dropout and the split.</summary>
    public ulong Seed { get; init; }

    /// <summary>Steps between checkpoints; 0 for none by steps.</summary>
    public int CheckpointSteps { get; init; }

    /// <summary>Seconds between checkpoints; 0 for none by time. Resuming is exact from any step, so the clock changes no result.</summary>
    public double CheckpointSeconds { get; init; } = 30;

    /// <summary>The schedule these options describe.</summary>
    internal LearningRateSchedule Schedule => new(LearningRate, FinalLearningRate, WarmupSteps, Steps);

    /// <summary>Tokens of one step.</summary>
    internal long TokensPerStep => (long)BatchSize * Context * AccumulationSteps;

    /// <summary>The same with fewer steps where the text is so small that it would be passed over more than twelve times.</summary>
    /// <param name="text">The text to learn from.</param>
    public TrainerOptions FittedTo(TokenStream text)
    {
        long enough = Math.Max(LeastSteps, MostEpochs * (long)text.Length / TokensPerStep);
        if (enough >= Steps) return this;
        int steps = (int)enough;
        return this with
        {
            Steps = steps,
            WarmupSteps = Math.Min(WarmupSteps, steps / 10),
            EvaluationInterval = Math.Min(EvaluationInterval, (steps + 3) / 4),
        };
    }

    /// <summary>Checks every number.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="InputException">One makes no sense; the message names it.</exception>
    public TrainerOptions Validate()
    {
        Require(Steps is >= 1 and <= 100_000_000, "steps", Steps, "from 1 to 100000000");
        Require(BatchSize is >= 1 and <= 1 << 16, "batch_size", BatchSize, "from 1 to 65536");
        Require(Context is >= 1 and <= 1 << 24, "context", Context, "from 1 to 16777216");
        Require(
            (long)BatchSize * Context <= 1 << 24,
            "batch_size × context",
            (long)BatchSize * Context,
            "at most 16777216 tokens; use accumulation_steps for more");
        Require(AccumulationSteps is >= 1 and <= 1 << 20, "accumulation_steps", AccumulationSteps, "from 1 to 1048576");
        Require(double.IsFinite(LearningRate) && LearningRate > 0, "learning_rate", LearningRate, "a number above 0");
        Require(
            FinalLearningRate >= 0 && FinalLearningRate <= LearningRate,
            "final_learning_rate",
            FinalLearningRate,
            "from 0 to the learning rate");
        Require(WarmupSteps >= 0, "warmup_steps", WarmupSteps, "at least 0");
        Require(float.IsFinite(WeightDecay) && WeightDecay >= 0, "weight_decay", WeightDecay, "at least 0");
        Require(MeanDecay is >= 0 and < 1, "mean_decay", MeanDecay, "at least 0 and below 1");
        Require(SquareDecay is >= 0 and < 1, "square_decay", SquareDecay, "at least 0 and below 1");
        Require(double.IsFinite(ClipNorm) && ClipNorm >= 0, "clip_norm", ClipNorm, "at least 0, which means no limit");
        Require(EvaluationInterval >= 1, "evaluation_interval", EvaluationInterval, "at least 1");
        Require(CheckpointSteps >= 0, "checkpoint_steps", CheckpointSteps, "at least 0, which means none by steps");
        Require(
            double.IsFinite(CheckpointSeconds) && CheckpointSeconds >= 0,
            "checkpoint_seconds",
            CheckpointSeconds,
            "at least 0, which means none by time");
        if (string.IsNullOrWhiteSpace(Output)) throw new InputException("The run needs a folder to write to; name one with --output.");
        return this;
    }

    private static void Require(bool holds, string name, object value, string expected)
    {
        if (!holds) throw new InputException(FormattableString.Invariant($"The training option {name} is {value}; it must be {expected}."));
    }
}
