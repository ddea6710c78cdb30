using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Evaluation;

public sealed class PositionLossTests : TensorTest
{
    private const int Context = 16;

    private static readonly ModelConfig Model = TinyRun.Model with { Dropout = 0 };

    private static readonly TokenStream Text = TokenStream.Join([Texts.Bytes(50, 1), Texts.Bytes(30, 2)]);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1000)]
    public void All_positions_together_are_the_text_in_contexts_of_their_own(int atOnce)
    {
        using LanguageModel model = Attentive(Model with { Window = null });
        EvaluationResult expected = Evaluator.Evaluate(model, Text, Context);
        EvaluationResult total = PositionLoss.Measure(model, Text, Context, atOnce).Total;
        Assert.NotEqual(0, (Text.Length - 1) % Context); // Its end makes a shorter context.
        Assert.Equal(expected.Bytes, total.Bytes);
        Assert.InRange(total.Nats / expected.Nats, 1 - 1e-6, 1 + 1e-6);
    }

    [Fact]
    public void A_window_does_not_slide_into_the_context_before()
    {
        using LanguageModel window = Attentive(Model with { Window = Context }), full = Attentive(Model with { Window = null });
        double expected = PositionLoss.Measure(full, Text, Context).Total.Nats;
        Assert.InRange(PositionLoss.Measure(window, Text, Context).Total.Nats / expected, 1 - 1e-6, 1 + 1e-6);
        Assert.NotInRange(Evaluator.Evaluate(window, Text).Nats / expected, 1 - 1e-4, 1 + 1e-4);
    }

    [Fact]
    public void A_position_tells_of_the_bytes_that_have_so_many_tokens_before_them()
    {
        using LanguageModel model = Attentive(Model);
        PositionLoss losses = PositionLoss.Measure(model, Text, Context);
        // The first two positions of each context see nothing of what follows: contexts of two tokens know as much.
        double nats = 0;
        for (int start = 0; start < Text.Length - 1; start += Context) nats += Pair(model, start);
        Assert.InRange(losses.Between(0, 2).Nats / nats, 1 - 1e-6, 1 + 1e-6);
    }

    [Fact]
    public void Buckets_divide_the_context_and_leave_out_what_the_text_never_reaches()
    {
        using LanguageModel model = Attentive(Model);
        PositionLoss losses = PositionLoss.Measure(model, Text, Context);
        IReadOnlyList<PositionBucket> five = losses.Buckets(5);
        Assert.Equal([(0, 3), (3, 6), (6, 9), (9, 12), (12, 16)], five.Select(bucket => (bucket.First, bucket.End)));
        Assert.Equal(losses.Between(3, 6).Loss, five[1].Loss);
        Assert.Equal(Context, losses.Buckets(100).Count);

        TokenStream word = Texts.Stream("gate");
        Assert.Equal([(0, 2), (2, 4)], PositionLoss.Measure(model, word, Context).Buckets(8).Select(bucket => (bucket.First, bucket.End)));
    }

    /// <summary>Weights so large that what a token sees matters to what is predicted after it.</summary>
    private static LanguageModel Attentive(ModelConfig config)
    {
        var model = new LanguageModel(config, seed: 1);
        foreach (Parameter parameter in model.Parameters.Where(parameter => parameter.Decays))
            parameter.Value.CopyFrom([.. parameter.Value.ToArray().Select(weight => 10 * weight)]);
        return model;
    }

    private static double Pair(LanguageModel model, int start)
    {
        int length = Math.Min(2, Text.Length - 1 - start);
        (int[] tokens, int[] targets, int counted) = Evaluator.Read(Text, start, length);
        using var tape = new Tape(recording: false);
        Tensor loss = model.Loss(
            tape, tape.Own(Tensor.From(tokens, [1, length])), tape.Own(Tensor.From(targets, [1, length])));
        return (double)loss.Item() * counted;
    }
}
