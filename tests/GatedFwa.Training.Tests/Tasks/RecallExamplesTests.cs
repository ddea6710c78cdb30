using GatedFwa.Tensors.Cpu;
using GatedFwa.Training.Data;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Training.Tests.Tasks;

public sealed class RecallExamplesTests
{
    private static readonly RecallTask Plain = new() { Length = 24, Pairs = 3, VocabularySize = 41 };

    public static TheoryData<string> Kinds => ["plain", "rewritten", "all rewritten, no slot to spare", "random filler", "one pair"];

    private static RecallTask Kind(string name) => name switch
    {
        "plain" => Plain,
        "rewritten" => Plain with { Rewrites = 1 },
        "all rewritten, no slot to spare" => Plain with { Length = 18, Rewrites = 3 },
        "random filler" => Plain with { Rewrites = 2, RandomFiller = true },
        _ => new() { Length = 4, Pairs = 1, VocabularySize = 5 },
    };

    private static (int[][] Tokens, int[][] Targets) Draw(RecallTask task, int count, long first = 0, ulong seed = 1, bool test = false)
    {
        int[] tokens = new int[count * task.Length], targets = new int[tokens.Length];
        RecallExamples.Part part = test ? RecallExamples.Part.Test : RecallExamples.Part.Training;
        new RecallExamples(task.Validate(), seed, part).Fill(first, tokens, targets);
        return ([.. tokens.Chunk(task.Length)], [.. targets.Chunk(task.Length)]);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_key_is_asked_once_for_the_value_it_was_last_given(string kind)
    {
        RecallTask task = Kind(kind);
        int half = task.VocabularySize / 2, written = 2 * (task.Pairs + task.Rewrites);
        (int[][] tokens, int[][] targets) = Draw(task, 300);
        foreach ((int[] row, int[] answers) in tokens.Zip(targets))
        {
            var last = new Dictionary<int, int>();
            for (int i = 0; i < written; i += 2)
            {
                Assert.InRange(row[i], 1, half - 1);
                Assert.InRange(row[i + 1], half, task.VocabularySize - 1);
                last[row[i]] = row[i + 1];
            }

            Assert.Equal(task.Pairs, last.Count);
            Assert.Equal(written / 2, Enumerable.Range(0, written / 2).Select(i => row[(2 * i) + 1]).Distinct().Count());
            int[] asked = [.. Enumerable.Range(0, task.Length).Where(i => answers[i] >= 0)];
            Assert.All(asked, position => Assert.True(position >= written && position % 2 == 0));
            Assert.Equal(last.Keys.Order(), asked.Select(position => row[position]).Order());
            Assert.All(asked, position => Assert.Equal(last[row[position]], answers[position]));
            Assert.All(answers, answer => Assert.InRange(answer, -1, task.VocabularySize - 1));
            if (!task.RandomFiller)
                Assert.All(row[written..].Where((_, i) => !asked.Contains(written + i)), token => Assert.Equal(0, token));
        }
    }

    [Fact]
    public void The_second_value_comes_after_the_first_anywhere_among_the_pairs()
    {
        RecallTask task = Plain with { Rewrites = 1 };
        (int[][] tokens, _) = Draw(task, 2000);
        int[] between = [.. tokens.Select(row =>
        {
            int[] keys = [row[0], row[2], row[4], row[6]];
            int twice = keys.GroupBy(key => key).Single(group => group.Count() == 2).Key;
            return Array.LastIndexOf(keys, twice) - Array.IndexOf(keys, twice);
        })];
        // Of the 6 pairs of places among 4 in order, 3 are neighbours, 2 one apart, 1 two.
        Assert.InRange(between.Count(distance => distance == 1) / 2000.0, 0.46, 0.54);
        Assert.InRange(between.Count(distance => distance == 3) / 2000.0, 0.13, 0.20);
    }

    [Fact]
    public void Questions_come_where_the_power_law_puts_them()
    {
        // One question over 11 slots: slot i with weight i^(a - 1).
        RecallTask task = Plain with { Pairs = 1, Power = 0.3 };
        const int Count = 20_000;
        (_, int[][] targets) = Draw(task, Count);
        double[] weights = [.. Enumerable.Range(1, 11).Select(slot => Math.Pow(slot, task.Power - 1))];
        for (int slot = 0; slot < 11; slot++)
        {
            double share = targets.Count(row => row[2 + (2 * slot)] >= 0) / (double)Count, expected = weights[slot] / weights.Sum();
            Assert.InRange(share, expected - 0.012, expected + 0.012); // Three standard deviations.
        }
    }

    [Fact]
    public void Slots_are_drawn_one_after_the_other_without_going_back()
    {
        // Two questions over the slots with weights 1, 2^-0.99, … : the chance that slot 0 has one.
        RecallTask task = Plain with { Pairs = 2, Length = 10 }; // 3 slots
        const int Count = 20_000;
        (_, int[][] targets) = Draw(task, Count);
        double[] p = [.. Enumerable.Range(1, 3).Select(slot => Math.Pow(slot, task.Power - 1))];
        p = [.. p.Select(weight => weight / p.Sum())];
        double expected = p[0] + (p[1] * p[0] / (1 - p[1])) + (p[2] * p[0] / (1 - p[2]));
        Assert.InRange(targets.Count(row => row[4] >= 0) / (double)Count, expected - 0.01, expected + 0.01);
    }

    [Fact]
    public void Keys_and_values_are_drawn_alike()
    {
        (int[][] tokens, _) = Draw(Plain with { Pairs = 1, Length = 4, VocabularySize = 17 }, 14_000);
        foreach ((int place, int least, int end) in new[] { (0, 1, 8), (1, 8, 17) })
        {
            double expected = 14_000.0 / (end - least);
            for (int token = least; token < end; token++)
                Assert.InRange(tokens.Count(row => row[place] == token), expected * 0.9, expected * 1.1);
        }
    }

    [Fact]
    public void An_example_is_a_function_of_seed_part_and_number_alone()
    {
        RecallTask task = Plain with { Rewrites = 2, RandomFiller = true, TrainingExamples = 40 };
        (int[][] all, int[][] answers) = Draw(task, 50);
        (int[][] some, int[][] someAnswers) = Draw(task, 7, first: 11);
        Assert.Equal(all[11..18], some);
        Assert.Equal(answers[11..18], someAnswers);
        Assert.Equal(all[..10], all[40..]); // They come again.
        Assert.NotEqual(all[0], all[1]);
        Assert.NotEqual(all[0], Draw(task, 1, seed: 2).Tokens[0]);
        Assert.NotEqual(all[0], Draw(task, 1, test: true).Tokens[0]);
    }

    [Fact]
    public void Examples_do_not_depend_on_the_number_of_threads()
    {
        int threads = WorkerPool.Shared.Threads;
        try
        {
            WorkerPool.Shared.Threads = 1;
            int[][] expected = Draw(Plain, 100).Tokens;
            WorkerPool.Shared.Threads = 3;
            Assert.Equal(expected, Draw(Plain, 100).Tokens);
        }
        finally
        {
            WorkerPool.Shared.Threads = threads;
        }
    }

    [Fact]
    public void Only_the_questions_count_as_targets()
    {
        IBatchSource batches = Plain.Batches(Plain.Options());
        Assert.Equal(3, batches.TargetsPerRow);
    }
}
