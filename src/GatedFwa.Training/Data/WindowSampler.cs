using System.Numerics;
using GatedFwa.Tensors;

namespace GatedFwa.Training.Data;

/// <summary>
/// Cuts a text into windows of one context and deals them out in random order, each once an epoch; every epoch cuts elsewhere.
/// What a step gets is a function of seed and step alone, so that a resumed run goes on with the very same windows.
/// </summary>
public sealed class WindowSampler : IBatchSource
{
    private const int MixingRounds = 4;

    private readonly TokenStream _text;
    private readonly CounterRandom _random;
    private readonly int _context;
    private readonly int _windows;

    /// <summary>Prepares to sample.</summary>
    /// <param name="text">The text.</param>
    /// <param name="context">Tokens of a window.</param>
    /// <param name="seed">Names the order.</param>
    /// <exception cref="InputException">The text is shorter than one window and the token after it.</exception>
    public WindowSampler(TokenStream text, int context, ulong seed)
    {
        if (text.Length <= context)
        {
            throw new InputException(
                $"The text to learn from has {text.Length} tokens, which is shorter than one context of {context}; " +
                "give more text or a smaller --context.");
        }

        (_text, _context, _random) = (text, context, new CounterRandom(seed));
        _windows = Math.Max(1, (text.Length - context) / context);
    }

    /// <summary>Windows in an epoch.</summary>
    public int WindowsPerEpoch => _windows;

    /// <inheritdoc/>
    public int TargetsPerRow => _context;

    /// <summary>Copies windows and, one token further, their targets.</summary>
    /// <param name="first">Which window of the run comes first, counted from its beginning.</param>
    /// <param name="tokens">Receives rows of one context each.</param>
    /// <param name="targets">Receives the token after each of <paramref name="tokens"/>.</param>
    public void Fill(long first, Span<int> tokens, Span<int> targets)
    {
        for (int row = 0; row < tokens.Length / _context; row++)
        {
            int start = Start(first + row);
            _text.CopyTo(start, tokens.Slice(row * _context, _context));
            _text.CopyTo(start + 1, targets.Slice(row * _context, _context));
        }
    }

    /// <summary>Where a window of the run begins.</summary>
    internal int Start(long window)
    {
        (long epoch, long index) = Math.DivRem(window, _windows);
        CounterRandom random = _random.Split((ulong)epoch);
        long slack = _text.Length - 1 - ((long)_windows * _context);
        int offset = (int)random.Below(-1, slack + 1);
        return offset + (Shuffle((int)index, random) * _context);
    }

    /// <summary>
    /// A permutation of 0 … windows − 1: a Feistel network over the next even number of bits, walked until it lands inside.
    /// </summary>
    private int Shuffle(int index, CounterRandom random)
    {
        int bits = (BitOperations.Log2((uint)Math.Max(1, _windows - 1)) / 2) + 1;
        uint mask = (1u << bits) - 1;
        uint mixed = (uint)index;
        do
        {
            uint left = mixed >> bits, right = mixed & mask;
            for (int round = 0; round < MixingRounds; round++)
                (left, right) = (right, left ^ ((uint)random.Bits(((long)round << 32) | right) & mask));
            mixed = (left << bits) | right;
        }
        while (mixed >= _windows);
        return (int)mixed;
    }
}
