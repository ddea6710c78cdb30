using GatedFwa.Tensors;

namespace GatedFwa.Generation;

/// <summary>
/// Draws tokens from scores. The n-th draw uses the n-th number of the seed's stream, so that the same seed gives the same text;
/// memory is bounded by the vocabulary and the repetition window.
/// </summary>
public sealed class Sampler
{
    private readonly SamplingOptions _options;
    private readonly CounterRandom _random;
    private readonly Queue<int> _recent = new();
    private readonly TokenHeap _heap = new();
    private readonly List<int> _kept = [];
    private double[] _scores = [];

    /// <summary>Makes a sampler.</summary>
    /// <param name="options">How to draw.</param>
    /// <exception cref="InputException">An option is out of range.</exception>
    public Sampler(SamplingOptions options) => (_options, _random) = (options.Validate(), new CounterRandom(options.Seed));

    /// <summary>Tokens drawn so far: the position of the next draw in the stream.</summary>
    public long Position { get; private set; }

    /// <summary>Tells the sampler of tokens it did not draw (a prompt), for the repetition penalty.</summary>
    /// <param name="token">The token.</param>
    public void Observe(int token)
    {
        if (_options.RepetitionPenalty == 1 || _options.RepetitionWindow == 0) return;
        if (_recent.Count == _options.RepetitionWindow) _recent.Dequeue();
        _recent.Enqueue(token);
    }

    /// <summary>Draws the next token.</summary>
    /// <param name="logits">The score of each token of the vocabulary.</param>
    /// <returns>The token.</returns>
    /// <exception cref="InputException">A score is NaN or +∞, or all are −∞.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        Span<double> scores = Penalised(logits);
        int likeliest = Likeliest(scores);
        int token = _options.Temperature == 0 ? likeliest : Draw(scores, likeliest);
        Position++;
        Observe(token);
        return token;
    }

    private Span<double> Penalised(ReadOnlySpan<float> logits)
    {
        if (_scores.Length < logits.Length) _scores = new double[logits.Length];
        Span<double> scores = _scores.AsSpan(0, logits.Length);
        for (int token = 0; token < scores.Length; token++) scores[token] = logits[token];
        // From the given scores: a token that occurs twice is penalised once.
        foreach (int token in _recent)
        {
            if ((uint)token < (uint)scores.Length)
                scores[token] = logits[token] > 0 ? logits[token] / _options.RepetitionPenalty : logits[token] * _options.RepetitionPenalty;
        }

        return scores;
    }

    private static int Likeliest(ReadOnlySpan<double> scores)
    {
        int best = 0;
        bool hasNaN = false;
        for (int token = 0; token < scores.Length; token++)
        {
            hasNaN |= double.IsNaN(scores[token]);
            if (scores[token] > scores[best]) best = token;
        }

        if (hasNaN || !double.IsFinite(scores[best]))
            throw new InputException("The model gave scores that are not numbers; its weights are damaged, use another checkpoint.");
        return best;
    }

    private int Draw(Span<double> scores, int likeliest)
    {
        double highest = scores[likeliest];
        double total = 0;
        for (int token = 0; token < scores.Length; token++)
        {
            scores[token] = Math.Exp((scores[token] - highest) / _options.Temperature);
            total += scores[token];
        }

        double uniform = (_random.Bits(Position) >> 11) * (1.0 / (1L << 53));
        bool keepsAll = _options is { TopK: null, TopP: >= 1, MinP: <= 0 };
        if (!keepsAll) return DrawFromLikeliest(scores, total, uniform);
        double remaining = uniform * total;
        for (int token = 0; token < scores.Length; token++)
        {
            remaining -= scores[token];
            if (remaining < 0) return token;
        }

        return likeliest; // Rounding left nothing over: any token of weight will do.
    }

    /// <summary>Takes tokens from the likeliest down until an option says that it is enough, then draws among those.</summary>
    private int DrawFromLikeliest(ReadOnlySpan<double> weights, double total, double uniform)
    {
        _heap.Fill(weights);
        _kept.Clear();
        if (_options.TopK is { } most)
        {
            total = 0;
            for (int i = 0; i < most && _heap.Count > 0; i++) total += Keep(weights);
        }

        double sum = 0;
        int count = 0;
        while (sum < _options.TopP * total)
        {
            if (count == _kept.Count)
            {
                if (_options.TopK is not null || _heap.Count == 0) break;
                Keep(weights);
            }

            // The likeliest token weighs 1.
            double weight = weights[_kept[count]];
            if (weight < _options.MinP) break;
            sum += weight;
            count++;
        }

        double remaining = uniform * sum;
        for (int i = 0; i < count; i++)
        {
            remaining -= weights[_kept[i]];
            if (remaining < 0) return _kept[i];
        }

        return _kept[0];
    }

    /// <summary>Moves the likeliest token left in the heap to the kept ones.</summary>
    /// <returns>Its weight.</returns>
    private double Keep(ReadOnlySpan<double> weights)
    {
        int token = _heap.Pop();
        _kept.Add(token);
        return weights[token];
    }
}
