using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>How likely a continuation is.</summary>
/// <param name="LogLikelihood">Σ ln p over its tokens.</param>
/// <param name="IsGreedy">Whether each of its tokens is the likeliest; always false where that was not asked for.</param>
internal readonly record struct ContinuationScore(double LogLikelihood, bool IsGreedy);

/// <summary>
/// Scores continuations, many at a time: requests of similar length are packed into one row, with no padding between them.
/// </summary>
/// <param name="model">The model; not disposed.</param>
/// <param name="progress">Told how many requests are done.</param>
/// <param name="batchTokens">Tokens that pass through the model together; enough to fill the machine unless given.</param>
internal sealed class ContinuationScorer(LanguageModel model, Action<int>? progress = null, int? batchTokens = null)
{
    private const int BatchTokensOnCpu = 4096, BatchTokensOnGpu = 32 * 1024;

    private readonly int _batchTokens = batchTokens ?? (model.Device.IsCpu ? BatchTokensOnCpu : BatchTokensOnGpu);

    /// <summary>The score of each request. Equal requests get equal scores, to the last bit.</summary>
    /// <param name="requests">What to score.</param>
    /// <param name="greedy">Whether to find out, too, if each token is the likeliest.</param>
    /// <exception cref="InputException">The model's scores are not numbers.</exception>
    public ContinuationScore[] Score(IReadOnlyList<TokenContinuation> requests, bool greedy = false)
    {
        var scores = new ContinuationScore[requests.Count];
        int[] order = [.. Enumerable.Range(0, requests.Count).OrderBy(i => requests[i])];
        for (int done = 0; done < order.Length; progress?.Invoke(done))
        {
            (List<TokenContinuation> batch, List<int> ends, int tokens) = NextBatch(requests, order, done);
            bool slides = tokens > _batchTokens && model.Config.Window is not null;
            ContinuationScore[] found = slides ? [ScoreInPieces(batch[0], greedy)] : ScorePacked(batch, tokens, greedy);
            for (int i = 0; i < found.Length; i++)
            {
                if (!double.IsFinite(found[i].LogLikelihood))
                {
                    throw new InputException(
                        "The model gave scores that are not numbers; its weights are damaged, use another checkpoint.");
                }

                for (; done < ends[i]; done++) scores[order[done]] = found[i];
            }
        }

        return scores;
    }

    /// <summary>
    /// As many different requests as fit, at least one; for each, where in the order those that ask the same end; and their tokens.
    /// </summary>
    private (List<TokenContinuation> Batch, List<int> Ends, int Tokens) NextBatch(
        IReadOnlyList<TokenContinuation> requests, int[] order, int first)
    {
        var batch = new List<TokenContinuation>();
        var ends = new List<int>();
        int tokens = 0;
        for (int next = first; next < order.Length; ends.Add(next))
        {
            TokenContinuation request = requests[order[next]];
            int count = request.Tokens.Length - 1;
            if (batch.Count > 0 && tokens + count > _batchTokens) break;
            batch.Add(request);
            tokens += count;
            while (next < order.Length && requests[order[next]].CompareTo(request) == 0) next++;
        }

        return (batch, ends, tokens);
    }

    private ContinuationScore[] ScorePacked(List<TokenContinuation> batch, int length, bool greedy)
    {
        int[] tokens = new int[length], targets = new int[length], ends = new int[batch.Count + 1];
        for (int i = 0; i < batch.Count; i++)
        {
            int count = batch[i].Tokens.Length - 1;
            Lay(batch[i], 0, tokens.AsSpan(ends[i], count), targets.AsSpan(ends[i], count));
            ends[i + 1] = ends[i] + count;
        }

        Losses losses = Predict(tokens, targets, SequenceLayout.Packed(ends), null, greedy);
        return [.. batch.Select((_, i) => losses.Sum(ends[i], ends[i + 1]))];
    }

    /// <summary>A long text whose window slides over it: memory does not grow with it.</summary>
    private ContinuationScore ScoreInPieces(TokenContinuation request, bool greedy)
    {
        using DecodeState state = model.NewState();
        var score = new ContinuationScore(0, greedy);
        int length = request.Tokens.Length - 1;
        for (int start = 0; start < length; start += Evaluator.DefaultContext)
        {
            int count = Math.Min(Evaluator.DefaultContext, length - start);
            int[] tokens = new int[count], targets = new int[count];
            Lay(request, start, tokens, targets);
            ContinuationScore piece = Predict(tokens, targets, null, state, greedy).Sum(0, count);
            score = new ContinuationScore(score.LogLikelihood + piece.LogLikelihood, score.IsGreedy && piece.IsGreedy);
        }

        return score;
    }

    /// <summary>Tokens from <paramref name="start"/> on, and beside each the one to predict: −1 within the context.</summary>
    private static void Lay(TokenContinuation request, int start, Span<int> tokens, Span<int> targets)
    {
        request.Tokens.Span.Slice(start, tokens.Length).CopyTo(tokens);
        request.Tokens.Span.Slice(start + 1, targets.Length).CopyTo(targets);
        targets[..Math.Clamp(request.Start - 1 - start, 0, targets.Length)].Fill(-1);
    }

    private Losses Predict(int[] tokens, int[] targets, SequenceLayout? layout, DecodeState? state, bool greedy)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [1, tokens.Length], model.Device));
        if (greedy) return Losses.Of(model.Logits(tape, input, layout, state), targets);
        Tensor perToken = tape.Own(Tensor.Zeros([1, tokens.Length], device: model.Device));
        model.Loss(tape, input, tape.Own(Tensor.From(targets, [1, targets.Length], model.Device)), layout, perToken, state: state);
        return new Losses(perToken.ToArray(), []);
    }

    /// <summary>−ln p of each target, 0 where there is none, and whether another token was likelier.</summary>
    private readonly record struct Losses(float[] Nats, bool[] IsBeaten)
    {
        public static Losses Of(Tensor logits, int[] targets)
        {
            float[] all = logits.ToArray(), nats = new float[targets.Length];
            bool[] isBeaten = new bool[targets.Length];
            int vocabulary = logits.Shape[^1];
            for (int i = 0; i < targets.Length; i++)
            {
                if (targets[i] < 0) continue;
                Span<float> row = all.AsSpan(i * vocabulary, vocabulary);
                int likeliest = TensorPrimitives.IndexOfMax<float>(row);
                isBeaten[i] = likeliest != targets[i];
                float largest = row[likeliest], target = row[targets[i]];
                TensorPrimitives.Subtract(row, largest, row);
                TensorPrimitives.Exp<float>(row, row);
                nats[i] = MathF.Log(TensorPrimitives.Sum<float>(row)) + largest - target;
            }

            return new Losses(nats, isBeaten);
        }

        public ContinuationScore Sum(int start, int end)
        {
            double nats = 0;
            foreach (float value in Nats.AsSpan(start, end - start)) nats += value;
            return new ContinuationScore(-nats, IsBeaten.Length > 0 && !IsBeaten.AsSpan(start, end - start).Contains(true));
        }
    }
}
