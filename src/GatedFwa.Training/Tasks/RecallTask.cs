using System.Runtime.InteropServices;
using System.Security.Cryptography;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tasks;

/// <summary>
/// Multi-query associative recall (MQAR; Zoology, arXiv 2312.04927): keys and values are written at the start of a sequence, later the
/// keys come again, and the model must say the value of each. With <see cref="Rewrites"/> some keys are written twice, and the later
/// value counts: forgetting MQAR, a direct test of the gate.
/// </summary>
/// <remarks>
/// <para>An example has <see cref="Pairs"/> different keys of 1 … V/2 − 1 and, for every time that one is written, a value of its own
/// of V/2 … V − 1. The first 2 · (<see cref="Pairs"/> + <see cref="Rewrites"/>) positions hold key, value, key, value, … in random
/// order; the keys that are written twice are drawn anew for each example. The rest is cut into slots of two positions. A
/// slot is drawn for each key, none twice, slot i (from 1) with weight i^(a − 1), and the key comes again at its start. Its target,
/// on that very position, is the value that was written last. All other positions hold token 0, or with <see cref="RandomFiller"/>
/// any token, and have no target.</para>
/// <para>An example is a function of the seed and its number.</para>
/// </remarks>
/// <example>
/// <code>
/// RecallTask task = RecallTask.Zoology(length: 64);
/// TrainerOptions options = task.Options() with { Output = "runs/mqar" };
/// ModelConfig model = Mixer.GatedFwa.In(ModelConfig.Preset("zoology"));
/// using Trainer trainer = Trainer.Start(model, options, task);
/// Console.WriteLine(trainer.Run().Validation?.Accuracy);
/// </code>
/// </example>
public sealed record RecallTask : ITrainingData
{
    /// <summary>The name of the task in which every key is written once.</summary>
    public const string PlainName = "mqar";

    /// <summary>The name of the task in which keys are written again.</summary>
    public const string ForgettingName = "forgetting-mqar";

    // Where Zoology stops.
    private const double EnoughAccuracy = 0.99;

    private const int Epochs = 64;

    // Enough to tell one way of drawing examples from another.
    private const int FingerprintExamples = 16;

    /// <summary>Tokens of an example, N: even.</summary>
    public required int Length { get; init; }

    /// <summary>Different keys of an example, D.</summary>
    public required int Pairs { get; init; }

    /// <summary>How many of them are written a second time, R.</summary>
    public int Rewrites { get; init; }

    /// <summary>Token ids, V.</summary>
    public int VocabularySize { get; init; } = 8192;

    /// <summary>How the places of the questions lie: at 1 anywhere alike, near 0 mostly early. Zoology's a.</summary>
    public double Power { get; init; } = 0.01;

    /// <summary>Whether positions that are neither written nor asked hold random tokens instead of token 0.</summary>
    public bool RandomFiller { get; init; }

    /// <summary>Different examples to learn from; they come again in the same order.</summary>
    public int TrainingExamples { get; init; } = 100_000;

    /// <summary>Examples to be measured on, none of them learned from.</summary>
    public int TestExamples { get; init; } = 3000;

    /// <summary>Its name.</summary>
    public string Name => Rewrites == 0 ? PlainName : ForgettingName;

    /// <summary>How far back the farthest answer can lie: from the last slot to the first value.</summary>
    public int FarthestAnswer => Length - 3;

    /// <summary>The setting of Zoology's Figure 2 of that length.</summary>
    /// <param name="length">64, 128, 256 or 512 tokens, with 4, 8, 16 and 64 pairs; of another length a sixteenth are pairs.</param>
    /// <param name="name"><see cref="PlainName"/>, or <see cref="ForgettingName"/>: then half of the keys are written again.</param>
    /// <param name="pairs">Another number of pairs.</param>
    /// <exception cref="InputException">There is no task of that name.</exception>
    public static RecallTask Zoology(int length, string name = PlainName, int? pairs = null)
    {
        if (name is not (PlainName or ForgettingName))
            throw new InputException($"There is no task \"{name}\"; use {PlainName} or {ForgettingName}.");
        int different = pairs ?? (length == 512 ? 64 : Math.Max(1, length / 16));
        return new RecallTask { Length = length, Pairs = different, Rewrites = name == ForgettingName ? (different + 1) / 2 : 0 };
    }

    /// <summary>How Zoology trains on it, as far as <see cref="TrainerOptions"/> have it: 64 epochs, a measurement after each.</summary>
    /// <param name="batchSize">Examples of a step; Zoology's unless given.</param>
    public TrainerOptions Options(int? batchSize = null)
    {
        int batch = batchSize ?? Length switch { <= 128 => 512, <= 256 => 256, <= 512 => 128, _ => 64 };
        int epoch = (int)Math.Min(int.MaxValue / Epochs, ((long)TrainingExamples + batch - 1) / batch);
        return new TrainerOptions
        {
            Task = this,
            Context = Length,
            BatchSize = batch,
            Steps = Epochs * epoch,
            EvaluationInterval = epoch,
            LearningRate = 2.15e-3, // The third of the four of its grid, 10^-4 … 10^-2.
        };
    }

    /// <summary>Checks that such examples can be made.</summary>
    /// <returns>This task.</returns>
    /// <exception cref="InputException">They cannot; the message says what would do.</exception>
    public RecallTask Validate()
    {
        Require(
            Length >= 4 && Length % 2 == 0,
            $"examples of {Length} tokens cannot be cut into slots of two; use an even length from 4 on");
        Require(Pairs >= 1 && Rewrites >= 0, $"{Pairs} pairs and {Rewrites} rewritten keys are none; use at least 1 pair");
        Require(Rewrites <= Pairs, $"{Rewrites} keys cannot be written again where there are {Pairs}; use at most as many");
        long needed = (4L * Pairs) + (2L * Rewrites);
        Require(
            needed <= Length,
            $"{Pairs} pairs{(Rewrites > 0 ? $", {Rewrites} of them written again," : "")} and a slot for each question take {needed} " +
            $"tokens, and examples have {Length}; use fewer pairs or longer examples");
        Require(
            VocabularySize > Length && VocabularySize <= 1 << 24,
            $"examples of {Length} tokens need a vocabulary of more than that (up to {1 << 24}), and it has {VocabularySize}; use another");
        Require(double.IsFinite(Power) && Power > 0, FormattableString.Invariant($"the power is {Power}; use a number above 0"));
        Require(
            TrainingExamples >= 1 && TestExamples >= 1,
            $"{TrainingExamples} examples to learn from and {TestExamples} to be measured on are none; use at least 1");
        return this;
    }

    /// <inheritdoc/>
    public void Check(ModelConfig model, TrainerOptions options)
    {
        Validate();
        Require(
            model.VocabularySize == VocabularySize,
            $"its vocabulary is {VocabularySize}, and the model's vocabulary_size {model.VocabularySize}; set it to that");
        Require(
            options.Context == Length,
            $"its examples have {Length} tokens, and the training's context {options.Context}; set it to that");
        Require(options.Task == this, "the options to train with name another; take those of the task");
    }

    /// <inheritdoc/>
    public string Fingerprint()
    {
        int[] tokens = new int[FingerprintExamples * Length], targets = new int[tokens.Length];
        new RecallExamples(this, 0, RecallExamples.Part.Training).Fill(0, tokens, targets);
        return Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(tokens.Concat(targets).ToArray().AsSpan())))[..32];
    }

    /// <inheritdoc/>
    public IBatchSource Batches(TrainerOptions options) => Examples(options.Seed, RecallExamples.Part.Training);

    /// <inheritdoc/>
    public ValidationResult Measure(LanguageModel model, TrainerOptions options)
    {
        IBatchSource examples = Examples(options.Seed, RecallExamples.Part.Test);
        double loss = 0, accuracy = 0;
        for (int first = 0; first < TestExamples; first += options.BatchSize)
        {
            int rows = Math.Min(options.BatchSize, TestExamples - first);
            int[] tokens = new int[rows * Length], targets = new int[tokens.Length];
            examples.Fill(first, tokens, targets);
            using var tape = new Tape(recording: false);
            Tensor right = tape.Allocate([], DType.F32, model.Device);
            Tensor mean = model.Loss(
                tape,
                tape.Own(Tensor.From(tokens, [rows, Length], model.Device)),
                tape.Own(Tensor.From(targets, [rows, Length])),
                accuracy: right);
            loss += rows * (double)mean.Item();
            accuracy += rows * (double)right.Item();
        }

        return new ValidationResult(loss / TestExamples, Accuracy: accuracy / TestExamples);
    }

    /// <summary>Counting says nothing of a task.</summary>
    public double? BaselineBitsPerByte() => null;

    /// <summary>Whether more than 99% of the answers are right.</summary>
    /// <param name="measurement">What the model has reached.</param>
    public bool IsSolved(ValidationResult measurement) => measurement.Accuracy > EnoughAccuracy;

    private RecallExamples Examples(ulong seed, RecallExamples.Part part) => new(this, seed, part);

    private void Require(bool holds, string otherwise)
    {
        if (!holds) throw new InputException($"The task {Name} cannot be set: {otherwise}.");
    }
}
