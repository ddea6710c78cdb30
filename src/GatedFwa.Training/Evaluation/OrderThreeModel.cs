using GatedFwa.Tensors.Cpu;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Evaluation;

/// <summary>
/// What counting alone achieves: predicts a byte from the three before it by interpolated Kneser–Ney smoothing (Chen and Goodman
/// 1999), down to no context at all. A model that has learned more than letter statistics is clearly below it.
/// </summary>
/// <remarks>
/// Absolute discounting and Witten–Bell smoothing were tried and are 0.02 bits per byte worse on the default corpus; the whole
/// training split is counted, and boundaries between documents are symbols like any other.
/// </remarks>
public sealed class OrderThreeModel
{
    private const int Orders = 4; // Contexts of 3, 2, 1 and 0 bytes.
    private const int Symbols = 256; // The byte 0xFF, which no UTF-8 holds, is the boundary.
    private const double Discount = 0.75;
    private const int ChunkBytes = 4 << 20;

    // By order: how often a gram occurred (for shorter grams: after how many different bytes), and per context the sum and the
    // number of different continuations.
    private readonly GramCounts[] _grams = [new(), new(), new(), new()];
    private readonly GramCounts[] _totals = [new(), new(), new(), new()];
    private readonly GramCounts[] _kinds = [new(), new(), new(), new()];

    /// <summary>Counts a text.</summary>
    /// <param name="training">The text.</param>
    public OrderThreeModel(TokenStream training)
    {
        Count(training);
        for (int order = Orders - 2; order >= 0; order--)
        {
            foreach ((uint gram, _) in _grams[order + 1].Entries()) _grams[order].Add(Shorten(gram, order));
        }

        for (int order = 0; order < Orders; order++)
        {
            foreach ((uint gram, int count) in _grams[order].Entries())
            {
                _totals[order].Add(gram >> 8, count);
                _kinds[order].Add(gram >> 8);
            }
        }
    }

    /// <summary>The probability of a byte after three others.</summary>
    /// <param name="gram">The three and the byte itself, the earliest in the highest bits.</param>
    public double Probability(uint gram)
    {
        double probability = 1.0 / Symbols;
        for (int order = 0; order < Orders; order++)
        {
            uint shortened = Shorten(gram, order);
            double total = _totals[order][shortened >> 8];
            if (total == 0) break;
            double seen = Math.Max(0, _grams[order][shortened] - Discount);
            probability = (seen + (Discount * _kinds[order][shortened >> 8] * probability)) / total;
        }

        return probability;
    }

    /// <summary>How many bits a byte of a text costs; boundaries are context but not counted.</summary>
    /// <param name="text">The text, usually the validation split.</param>
    public double BitsPerByte(TokenStream text)
    {
        double bits = 0;
        uint gram = uint.MaxValue;
        foreach (byte symbol in text.Bytes)
        {
            gram = (gram << 8) | symbol;
            if (symbol != TokenStream.BoundaryByte) bits -= Math.Log2(Probability(gram));
        }

        return bits / text.TextBytes;
    }

    // Whole numbers add up to the same sums in any order: threads may count chunks as they come.
    private void Count(TokenStream training)
    {
        int chunks = (int)(((long)training.Length + ChunkBytes - 1) / ChunkBytes);
        var bound = new ParallelOptions { MaxDegreeOfParallelism = WorkerPool.Shared.Threads };
        Parallel.For(0, chunks, bound, () => new GramCounts(), (chunk, _, counts) =>
        {
            ReadOnlySpan<byte> bytes = training.Bytes;
            int start = chunk * ChunkBytes, end = (int)Math.Min(bytes.Length, (long)start + ChunkBytes);
            uint gram = uint.MaxValue; // Before the text lie boundaries.
            for (int i = Math.Max(0, start - Orders + 1); i < end; i++)
            {
                gram = (gram << 8) | bytes[i];
                if (i >= start) counts.Add(gram);
            }

            return counts;
        }, counts =>
        {
            lock (_grams)
            {
                foreach ((uint gram, int count) in counts.Entries()) _grams[^1].Add(gram, count);
            }
        });
    }

    private static uint Shorten(uint gram, int order) => order == Orders - 1 ? gram : gram & ((1u << (8 * (order + 1))) - 1);
}
