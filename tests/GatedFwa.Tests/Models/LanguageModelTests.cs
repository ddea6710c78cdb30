using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Models;

public sealed class LanguageModelTests : TensorTest
{
    public static TheoryData<string> Models => TinyModels.Names;

    private static Tensor Integers(Tape tape, int[] values, Shape shape) => tape.Own(Tensor.From(values, shape));

    /// <summary>Tokens [B, T] and the targets that follow them, one in seven ignored.</summary>
    private static (int[] Tokens, int[] Targets) Batch(int batch, int length)
    {
        int[] text = TinyModels.Tokens(batch * (length + 1));
        int[][] rows = [.. text.Chunk(length + 1)];
        return ([.. rows.SelectMany(row => row[..^1])], [.. rows.SelectMany(row => row[1..]).Select((target, i) => i % 7 == 3 ? -1 : target)]);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Scores_follow_the_double_reference(string name)
    {
        const int Length = 21;
        using LanguageModel model = TinyModels.Lively(TinyModels.All[name]);
        var reference = new ReferenceModel(model);
        int[] tokens = TinyModels.Tokens(2 * Length);
        double[] expected = [.. tokens.Chunk(Length).SelectMany(row => reference.Logits(row)).SelectMany(logits => logits)];

        using var tape = new Tape(recording: false);
        Tensor logits = model.Logits(tape, Integers(tape, tokens, [2, Length]));
        Assert.Equal([2, Length, 37], logits.Shape.ToArray());
        Assert.InRange(ErrorNorm.Relative(logits.ToArray(), expected), 0, 3e-6);
    }

    /// <summary>
    /// Differences of the float32 forward would drown in rounding, so the analytic float32 gradient of every parameter is compared
    /// with central differences of the double reference, along directions that touch all of its elements.
    /// </summary>
    [Theory]
    [MemberData(nameof(Models))]
    public void Every_gradient_is_the_derivative_of_the_double_reference(string name)
    {
        const int Length = 12;
        const double Step = 1e-5;
        using LanguageModel model = TinyModels.Lively(TinyModels.All[name]);
        (int[] tokens, int[] targets) = Batch(1, Length);
        using (var tape = new Tape())
            tape.Backward(model.Loss(tape, Integers(tape, tokens, [1, Length]), Integers(tape, targets, [1, Length])));

        var reference = new ReferenceModel(model);
        foreach (Parameter parameter in model.Parameters)
        {
            double[] values = reference.Parameters[parameter.Name], original = [.. values];
            double[] gradient = Samples.Widen(parameter.Gradient.ToArray());
            double norm = Math.Sqrt(gradient.Sum(g => g * g));
            Assert.True(norm > 0, $"No gradient reached {parameter.Name}.");
            for (ulong direction = 0; direction < 3; direction++)
            {
                float[] along = Samples.Normal(values.Length, 50 + direction);
                double Loss(double step)
                {
                    for (int i = 0; i < values.Length; i++) values[i] = original[i] + (step * along[i]);
                    return reference.Loss(tokens, targets);
                }

                double difference = (Loss(Step) - Loss(-Step)) / (2 * Step), analytic = 0;
                for (int i = 0; i < values.Length; i++) analytic += gradient[i] * along[i];
                original.CopyTo(values, 0);
                // g·d of a normal direction is ‖g‖ in the mean: the measure of what an error in g would change.
                Assert.True(
                    Math.Abs(difference - analytic) / norm < 2e-5,
                    $"{parameter.Name}: {difference} by differences, {analytic} by the tape.");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void A_step_down_the_gradient_lowers_the_loss_and_every_parameter_takes_part(string name)
    {
        using var model = new LanguageModel(TinyModels.All[name], seed: 5);
        (int[] tokens, int[] targets) = Batch(2, 20);
        float Loss(bool learn)
        {
            using var tape = new Tape(recording: learn);
            Tensor loss = model.Loss(tape, Integers(tape, tokens, [2, 20]), Integers(tape, targets, [2, 20]));
            if (learn) tape.Backward(loss);
            return loss.Item();
        }

        float before = Loss(learn: true);
        Assert.InRange(before, Math.Log(37) - 0.1, Math.Log(37) + 0.1);
        foreach (Parameter parameter in model.Parameters)
        {
            float[] gradient = parameter.Gradient.ToArray();
            Assert.True(gradient.Any(g => g != 0), $"No gradient reached {parameter.Name}.");
            parameter.Value.CopyFrom([.. parameter.Value.ToArray().Zip(gradient, (value, g) => value - (0.1f * g))]);
        }

        Assert.True(Loss(learn: false) < before - 0.01f);
    }

    [Fact]
    public void Where_most_targets_are_ignored_loss_and_gradients_are_the_same()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa);
        int[] tokens = TinyModels.Tokens(60), targets = [.. TinyModels.Tokens(60, seed: 4).Select((target, i) => i % 5 == 2 ? target : -1)];
        (float Loss, float[] Gradient) Run(bool ofAll)
        {
            foreach (Parameter parameter in model.Parameters) parameter.ClearGradient();
            using var tape = new Tape();
            // With room for every token's loss all of them are made.
            Tensor? perToken = ofAll ? tape.Allocate([2, 30]) : null;
            Tensor loss = model.Loss(tape, Integers(tape, tokens, [2, 30]), Integers(tape, targets, [2, 30]), perToken: perToken);
            tape.Backward(loss);
            return (loss.Item(), [.. model.Parameters.SelectMany(parameter => parameter.Gradient.ToArray())]);
        }

        (float loss, float[] gradient) = Run(ofAll: false);
        (float expected, float[] expectedGradient) = Run(ofAll: true);
        Assert.Equal(expected, loss, 1e-5);
        Assert.InRange(ErrorNorm.Relative(gradient, Samples.Widen(expectedGradient)), 0, 1e-6);
    }

    [Fact]
    public void The_accuracy_is_the_share_of_answers_that_are_likeliest()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa);
        int[] tokens = TinyModels.Tokens(40);
        using var tape = new Tape(recording: false);
        int[] best = [.. model.Logits(tape, Integers(tape, tokens, [2, 20])).ToArray().Chunk(37).Select(row => row.IndexOf(row.Max()))];
        Tensor accuracy = tape.Allocate([]);
        void Measure(Func<int, int> target) => model.Loss(
            tape, Integers(tape, tokens, [2, 20]), Integers(tape, [.. Enumerable.Range(0, 40).Select(target)], [2, 20]), accuracy: accuracy);
        Measure(i => i % 2 == 0 ? best[i] : (best[i] + 1) % 37);
        Assert.Equal(0.5f, accuracy.Item());
        Measure(i => i % 4 != 0 ? -1 : i < 20 ? best[i] : (best[i] + 1) % 37); // Few enough to be looked at alone.
        Assert.Equal(0.5f, accuracy.Item());
    }

    [Fact]
    public void Loss_is_the_mean_over_targets_that_count_and_is_given_per_token_too()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa);
        (int[] tokens, int[] targets) = Batch(1, 30);
        using var tape = new Tape(recording: false);
        Tensor perToken = tape.Allocate([1, 30]);
        float loss = model.Loss(tape, Integers(tape, tokens, [1, 30]), Integers(tape, targets, [1, 30]), perToken: perToken).Item();
        Assert.Equal(new ReferenceModel(model).Loss(tokens, targets), loss, 1e-5);
        Assert.Equal(loss, perToken.ToArray().Sum() / targets.Count(target => target >= 0), 1e-5);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Packed_documents_do_not_see_each_other(string name)
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.All[name]);
        int[] tokens = TinyModels.Tokens(40), ends = [0, 11, 11, 12, 40];
        using var tape = new Tape(recording: false);
        float[] packed = model.Logits(tape, Integers(tape, tokens, [1, 40]), SequenceLayout.Packed(ends)).ToArray();
        var apart = new List<float>();
        for (int i = 1; i < ends.Length; i++)
        {
            int[] document = tokens[ends[i - 1]..ends[i]];
            if (document.Length > 0) apart.AddRange(model.Logits(tape, Integers(tape, document, [1, document.Length])).ToArray());
        }

        // Rotary positions go on through the row; only their differences matter, to rounding.
        Assert.InRange(ErrorNorm.Relative(packed, apart.ToArray()), 0, 3e-6);
    }

    [Theory]
    [InlineData("GatedFWA")]
    [InlineData("full softmax")]
    [InlineData("native sparse")]
    public void Any_number_of_threads_gives_the_same_bits(string name)
    {
        (int[] tokens, int[] targets) = Batch(3, 150);
        float[] Run(int threads)
        {
            int before = WorkerPool.Shared.Threads;
            WorkerPool.Shared.Threads = threads;
            try
            {
                using var model = new LanguageModel(TinyModels.All[name] with { Dropout = 0.1f }, seed: 2);
                using var tape = new Tape();
                Tensor loss = model.Loss(
                    tape,
                    Integers(tape, tokens, [3, 150]),
                    Integers(tape, targets, [3, 150]),
                    dropout: new CounterRandom(4));
                tape.Backward(loss);
                return [loss.Item(), .. model.Parameters.SelectMany(parameter => parameter.Gradient.ToArray())];
            }
            finally
            {
                WorkerPool.Shared.Threads = before;
            }
        }

        float[] one = Run(1);
        Assert.Equal(one, Run(2));
        Assert.Equal(one, Run(3));
    }

    [Fact]
    public void Dropout_acts_only_with_a_stream_and_repeats_with_it()
    {
        using LanguageModel plain = TinyModels.Lively(TinyModels.GatedFwa);
        using LanguageModel dropping = TinyModels.Lively(TinyModels.GatedFwa with { Dropout = 0.3f });
        (int[] tokens, int[] targets) = Batch(1, 20);
        float Loss(LanguageModel model, CounterRandom? dropout)
        {
            using var tape = new Tape();
            return model.Loss(tape, Integers(tape, tokens, [1, 20]), Integers(tape, targets, [1, 20]), dropout: dropout).Item();
        }

        Assert.Equal(Loss(plain, null), Loss(dropping, null));
        Assert.Equal(Loss(plain, null), Loss(plain, new CounterRandom(1)));
        Assert.Equal(Loss(dropping, new CounterRandom(1)), Loss(dropping, new CounterRandom(1)));
        Assert.NotEqual(Loss(dropping, new CounterRandom(1)), Loss(dropping, new CounterRandom(2)));
        Assert.NotEqual(Loss(dropping, new CounterRandom(1)), Loss(plain, null));
    }

    [Fact]
    public void Tokens_that_are_no_batch_or_not_in_the_vocabulary_are_refused()
    {
        using var model = new LanguageModel(TinyModels.GatedFwa);
        using var tape = new Tape(recording: false);
        Assert.Throws<OperandException>(() => model.Logits(tape, Integers(tape, [1, 2], [2])));
        Assert.Throws<OperandException>(() => model.Logits(tape, Integers(tape, [], [1, 0])));
        Assert.Throws<OperandException>(() => model.Logits(tape, tape.Own(Tensor.Zeros([1, 2]))));
        Assert.Throws<OperandException>(() => model.Logits(tape, Integers(tape, [1, 37], [1, 2])));
    }

    [Fact]
    public void A_configuration_that_makes_no_model_is_refused_before_memory_is_taken() =>
        Assert.Throws<InputException>(() => new LanguageModel(TinyModels.GatedFwa with { Heads = 5 }));
}
