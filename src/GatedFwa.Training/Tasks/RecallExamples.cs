using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tasks;

/// <summary>The examples of a <see cref="RecallTask"/>, made as they are needed: each from its number alone.</summary>
internal sealed unsafe class RecallExamples : IBatchSource
{
    private const int RowsPerItem = 8;

    private readonly RecallTask _task;
    private readonly CounterRandom _random;
    private readonly int _count;
    private readonly int _slots;
    private readonly double[] _rarity;

    /// <summary>Prepares to make examples.</summary>
    /// <param name="task">A valid task.</param>
    /// <param name="seed">Names the examples.</param>
    /// <param name="part">Which of them.</param>
    public RecallExamples(RecallTask task, ulong seed, Part part)
    {
        _task = task;
        _random = new CounterRandom(seed).Split((ulong)part);
        _count = part == Part.Training ? task.TrainingExamples : task.TestExamples;
        _slots = (task.Length / 2) - task.Pairs - task.Rewrites;
        _rarity = [.. Enumerable.Range(1, _slots).Select(slot => Math.Pow(slot, 1 - task.Power))];
    }

    /// <summary>What examples are for, as the number of their stream: 1 is that of the dropout.</summary>
    public enum Part
    {
        Training = 2,
        Test = 3,
    }

    /// <inheritdoc/>
    public int TargetsPerRow => _task.Pairs;

    /// <inheritdoc/>
    public void Fill(long first, Span<int> tokens, Span<int> targets)
    {
        int length = _task.Length, rows = tokens.Length / length;
        fixed (int* allTokens = tokens, allTargets = targets)
        {
            int* to = allTokens, answers = allTargets;
            WorkerPool.Shared.For(Blocking.Pieces(rows, RowsPerItem), item =>
            {
                var scratch = new Scratch(_task, _slots);
                for (int row = item * RowsPerItem; row < Math.Min(rows, (item + 1) * RowsPerItem); row++)
                {
                    CounterRandom random = _random.Split((ulong)((first + row) % _count));
                    nint start = (nint)row * length;
                    Fill(random, new Span<int>(to + start, length), new Span<int>(answers + start, length), scratch);
                }
            });
        }
    }

    private void Fill(CounterRandom random, Span<int> tokens, Span<int> targets, Scratch scratch)
    {
        int pairs = _task.Pairs, half = _task.VocabularySize / 2, written = 2 * scratch.Order.Length;
        Distinct(random.Split(0), scratch.Keys, 1, half);
        Distinct(random.Split(1), scratch.Values, half, _task.VocabularySize);
        for (int key = 0; key < pairs; key++) scratch.Order[key] = key;
        Distinct(random.Split(2), scratch.Order.AsSpan(pairs), 0, pairs);
        Shuffle(random.Split(3), scratch.Order);
        DrawSlots(random.Split(4), scratch);

        targets.Fill(-1);
        tokens.Clear();
        if (_task.RandomFiller)
        {
            CounterRandom filler = random.Split(5);
            for (int i = written; i < tokens.Length; i++) tokens[i] = (int)filler.Below(i, _task.VocabularySize);
        }

        for (int write = 0; write < scratch.Order.Length; write++)
        {
            int key = scratch.Order[write];
            tokens[2 * write] = scratch.Keys[key];
            tokens[(2 * write) + 1] = scratch.Answers[key] = scratch.Values[write];
        }

        for (int key = 0; key < pairs; key++)
        {
            int position = written + (2 * scratch.Slots[key]);
            tokens[position] = scratch.Keys[key];
            targets[position] = scratch.Answers[key];
        }
    }

    /// <summary>
    /// Draws slots one after the other, none twice, each with a probability in proportion to its weight: the order in which
    /// exponential clocks that run at these speeds ring (Efraimidis and Spirakis 2006).
    /// </summary>
    private void DrawSlots(CounterRandom random, Scratch scratch)
    {
        for (int slot = 0; slot < _slots; slot++)
        {
            scratch.Times[slot] = -Math.Log(1 - random.Uniform(slot)) * _rarity[slot];
            scratch.Slots[slot] = slot;
        }

        scratch.Times.AsSpan().Sort(scratch.Slots.AsSpan());
    }

    /// <summary>Different numbers from <paramref name="least"/> to below <paramref name="end"/>.</summary>
    private static void Distinct(CounterRandom random, Span<int> numbers, int least, int end)
    {
        long drawn = 0;
        for (int i = 0; i < numbers.Length; i++)
        {
            int number;
            do number = least + (int)random.Below(drawn++, end - least);
            while (numbers[..i].Contains(number));
            numbers[i] = number;
        }
    }

    private static void Shuffle(CounterRandom random, Span<int> items)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int other = (int)random.Below(i, i + 1);
            (items[i], items[other]) = (items[other], items[i]);
        }
    }

    /// <summary>Room to make an example in.</summary>
    private sealed class Scratch(RecallTask task, int slots)
    {
        public int[] Keys { get; } = new int[task.Pairs];

        /// <summary>The last value of each key.</summary>
        public int[] Answers { get; } = new int[task.Pairs];

        /// <summary>Which key is written, in the order of writing.</summary>
        public int[] Order { get; } = new int[task.Pairs + task.Rewrites];

        /// <summary>Which value.</summary>
        public int[] Values { get; } = new int[task.Pairs + task.Rewrites];

        /// <summary>When each slot's clock rings; then sorted.</summary>
        public double[] Times { get; } = new double[slots];

        /// <summary>The slots in that order: the first is that of key 0.</summary>
        public int[] Slots { get; } = new int[slots];
    }
}
