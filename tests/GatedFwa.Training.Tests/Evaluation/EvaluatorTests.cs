using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Evaluation;

public sealed class EvaluatorTests : TensorTest
{
    private static readonly ModelConfig Model = TinyRun.Model with { Dropout = 0 };

    private static readonly TokenStream Text = TokenStream.Join([Texts.Bytes(50, 1), Texts.Bytes(30, 2)]);

    [Fact]
    public void Sliding_in_pieces_of_any_size_equals_one_pass_over_the_whole_text()
    {
        using var model = new LanguageModel(Model, seed: 1);
        double whole = OnePass(model, Text);
        foreach (int piece in new[] { 5, 64, 100, 1024 })
        {
            EvaluationResult result = Evaluator.Evaluate(model, Text, piece);
            Assert.Equal(Text.TextBytes, result.Bytes);
            Assert.InRange(result.Nats / whole, 1 - 1e-5, 1 + 1e-5);
        }
    }

    [Fact]
    public void A_full_causal_model_sees_one_context_at_a_time()
    {
        using var model = new LanguageModel(Model with { Window = null }, seed: 1);
        Assert.InRange(Evaluator.Evaluate(model, Text, 4096).Nats / OnePass(model, Text), 1 - 1e-5, 1 + 1e-5);
        Assert.NotEqual(Evaluator.Evaluate(model, Text, 4096).Nats, Evaluator.Evaluate(model, Text, 16).Nats);
    }

    [Fact]
    public void The_same_text_gives_the_same_bits()
    {
        using var model = new LanguageModel(Model, seed: 1);
        Assert.Equal(Evaluator.Evaluate(model, Text), Evaluator.Evaluate(model, Text));
    }

    [Fact]
    public void Loss_bits_and_perplexity_are_one_number_in_three_units()
    {
        var result = new EvaluationResult(Nats: 200 * Math.Log(4), Bytes: 200);
        Assert.Equal(Math.Log(4), result.Loss, 12);
        Assert.Equal(2, result.BitsPerByte, 12);
        Assert.Equal(4, result.Perplexity, 12);
    }

    [Fact]
    public void Refuses_no_text_and_models_of_no_bytes()
    {
        using var model = new LanguageModel(Model, seed: 1);
        using var small = new LanguageModel(Model with { VocabularySize = 100 }, seed: 1);
        Assert.Contains(
            "no text",
            Assert.Throws<InputException>(() => Evaluator.Evaluate(model, TokenStream.Join([]))).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "knows 100 tokens",
            Assert.Throws<InputException>(() => Evaluator.Evaluate(small, Text)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Can_be_stopped()
    {
        using var model = new LanguageModel(Model, seed: 1);
        Assert.Throws<OperationCanceledException>(
            () => Evaluator.Evaluate(model, Text, cancellation: new CancellationToken(canceled: true)));
    }

    private static double OnePass(LanguageModel model, TokenStream text)
    {
        int[] stream = Texts.Tokens(text);
        int[] targets = [.. stream.Skip(1).Select(token => token == 256 ? -1 : token)];
        using var tape = new Tape(recording: false);
        using Tensor perToken = Tensor.Zeros([1, targets.Length]);
        model.Loss(
            tape,
            tape.Own(Tensor.From(stream[..^1], [1, targets.Length])),
            tape.Own(Tensor.From(targets, [1, targets.Length])),
            perToken: perToken);
        return perToken.ToArray().Sum(loss => (double)loss);
    }
}
