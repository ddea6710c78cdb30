using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;
using GatedFwa.Training.Evaluation.Tasks;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

/// <summary>Packed scores against each request by itself: one pass, the softmax in double.</summary>
public abstract class ContinuationScorerSuite(TestBackend backend) : TensorTest(backend)
{
    // Losses of some 5 nats a token in float: a few units in the last place each.
    private const double Tolerance = 2e-5;

    private static readonly ModelConfig Windowed = TinyRun.Model with { Dropout = 0 };

    [Theory]
    [InlineData(8)]
    [InlineData(null)]
    public void Packed_requests_score_as_each_by_itself(int? window)
    {
        using LanguageModel model = NewModel(window);
        TokenContinuation[] requests = [.. Enumerable.Range(0, 200).Select(i => Request(2 + (i * 37 % 90), i))];
        ContinuationScore[] plain = Score(model, requests), greedy = Score(model, requests, greedy: true);
        for (int i = 0; i < requests.Length; i++)
        {
            (double expected, bool isGreedy) = BruteForce(model, requests[i]);
            double bound = Tolerance * requests[i].Length * 5;
            Assert.InRange(plain[i].LogLikelihood, expected - bound, expected + bound);
            Assert.InRange(greedy[i].LogLikelihood, expected - bound, expected + bound);
            Assert.Equal(isGreedy, greedy[i].IsGreedy);
        }
    }

    [Fact]
    public void The_likeliest_continuation_is_greedy_and_one_that_ends_otherwise_is_not()
    {
        using LanguageModel model = NewModel(8);
        int[] tokens = Request(40, 1).Tokens.ToArray();
        for (int i = 30; i < tokens.Length; i++) tokens[i] = Likeliest(model, tokens[..i]);
        int[] other = [.. tokens];
        other[^1] ^= 1;
        ContinuationScore[] scores = Score(model, [new(tokens, 30), new(other, 30)], greedy: true);
        Assert.True(scores[0].IsGreedy);
        Assert.False(scores[1].IsGreedy);
        Assert.True(scores[0].LogLikelihood > scores[1].LogLikelihood);
    }

    [Fact]
    public void A_text_longer_than_a_batch_slides_through_the_window()
    {
        using LanguageModel model = NewModel(8);
        TokenContinuation request = Request(3000, 5) with { Start = 700 };
        (double expected, _) = BruteForce(model, request);
        Assert.InRange(Score(model, [request])[0].LogLikelihood / expected, 1 - Tolerance, 1 + Tolerance);
        Assert.InRange(Score(model, [request], greedy: true)[0].LogLikelihood / expected, 1 - Tolerance, 1 + Tolerance);
    }

    [Fact]
    public void A_long_text_is_greedy_only_where_every_piece_of_it_is()
    {
        using LanguageModel model = NewModel(8);
        int[] tokens = Request(1030, 6).Tokens.ToArray();
        // The last piece is: from token 1,025 on.
        for (int i = 1025; i < tokens.Length; i++) tokens[i] = Likeliest(model, tokens[..i]);
        ContinuationScore[] scores = Score(model, [new(tokens, 1000), new(tokens, 1025)], greedy: true);
        Assert.Equal([false, true], scores.Select(score => score.IsGreedy));
    }

    [Fact]
    public void Equal_requests_score_the_same_bits_wherever_they_stand()
    {
        using LanguageModel model = NewModel(8);
        // Alone in a batch of another layout each would be rounded its own way.
        TokenContinuation[] requests = [.. Enumerable.Range(0, 300).Select(i => Request(60, i % 3))];
        ContinuationScore[] scores = Score(model, requests);
        for (int i = 3; i < requests.Length; i++) Assert.Equal(scores[i % 3], scores[i]);
        Assert.Equal(3, scores.Distinct().Count());
    }

    [Fact]
    public void The_same_tokens_split_elsewhere_are_another_request()
    {
        using LanguageModel model = NewModel(8);
        TokenContinuation late = Request(30, 1) with { Start = 29 }, early = late with { Start = 2 };
        ContinuationScore[] scores = Score(model, [late, early]);
        Assert.True(scores[0].LogLikelihood > scores[1].LogLikelihood);
    }

    [Fact]
    public void Progress_ends_with_all_requests_and_damaged_weights_are_named()
    {
        using LanguageModel model = NewModel(8);
        var done = new List<int>();
        new ContinuationScorer(model, done.Add, batchTokens: 100).Score([.. Enumerable.Range(0, 20).Select(i => Request(50, i))]);
        Assert.Equal(20, done[^1]);
        Assert.Equal(10, done.Count);
        Assert.Equal(done.Order(), done);
        Parameter norm = model.Parameters.Single(parameter => parameter.Name == "norm.weight");
        norm.Value.CopyFrom([.. Enumerable.Repeat(float.NaN, (int)norm.Value.Count)]);
        foreach (bool greedy in (bool[])[false, true])
        {
            string message = Assert.Throws<InputException>(() => Score(model, [Request(10, 1)], greedy)).Message;
            Assert.Contains("damaged", message, StringComparison.Ordinal);
        }
    }

    private static ContinuationScore[] Score(LanguageModel model, TokenContinuation[] requests, bool greedy = false) =>
        new ContinuationScorer(model, batchTokens: 1000).Score(requests, greedy);

    private static TokenContinuation Request(int length, int seed)
    {
        var random = new CounterRandom((ulong)seed);
        int[] tokens = [.. Enumerable.Range(0, length).Select(i => (int)random.Below(i, 257))];
        return new TokenContinuation(tokens, 1 + (int)random.Below(length, length - 1));
    }

    private static (double LogLikelihood, bool IsGreedy) BruteForce(LanguageModel model, TokenContinuation request)
    {
        int[] tokens = request.Tokens.ToArray();
        using var tape = new Tape(recording: false);
        float[] logits = model.Logits(tape, tape.Own(Tensor.From(tokens[..^1], [1, tokens.Length - 1], model.Device))).ToArray();
        double sum = 0;
        bool isGreedy = true;
        for (int i = request.Start; i < tokens.Length; i++)
        {
            float[] row = logits[((i - 1) * 257)..(i * 257)];
            sum += row[tokens[i]] - Math.Log(row.Sum(logit => Math.Exp(logit)));
            isGreedy &= row[tokens[i]] == row.Max();
        }

        return (sum, isGreedy);
    }

    private static int Likeliest(LanguageModel model, int[] tokens)
    {
        using var tape = new Tape(recording: false);
        float[] logits = model.Logits(tape, tape.Own(Tensor.From(tokens, [1, tokens.Length], model.Device))).ToArray()[^257..];
        return Array.IndexOf(logits, logits.Max());
    }

    /// <summary>Weights ten times the usual: so small a model would find every token about as likely.</summary>
    private LanguageModel NewModel(int? window)
    {
        var model = new LanguageModel(Windowed with { Window = window }, seed: 1, Backend.Device, Backend.Activations);
        foreach (Parameter parameter in model.Parameters.Where(parameter => parameter.Value.Shape.Rank == 2))
            parameter.Value.CopyFrom([.. parameter.Value.ToArray().Select(value => 10 * value)]);
        return model;
    }
}

public sealed class ContinuationScorerTests() : ContinuationScorerSuite(TestBackend.Cpu);

public sealed class ContinuationScorerCudaTests() : ContinuationScorerSuite(TestBackend.CudaFloat32);
