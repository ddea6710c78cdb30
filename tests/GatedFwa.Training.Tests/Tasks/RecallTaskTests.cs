using GatedFwa.Models;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Training.Tests.Tasks;

public sealed class RecallTaskTests
{
    private static readonly RecallTask Task = RecallTask.Zoology(64);

    [Theory]
    [InlineData(64, 4, 512)]
    [InlineData(128, 8, 512)]
    [InlineData(256, 16, 256)]
    [InlineData(512, 64, 128)]
    public void The_settings_of_Zoologys_figure_are_at_hand(int length, int pairs, int batch)
    {
        RecallTask task = RecallTask.Zoology(length).Validate();
        var expected = new RecallTask
        {
            Length = length,
            Pairs = pairs,
            VocabularySize = 8192,
            Power = 0.01,
            TrainingExamples = 100_000,
            TestExamples = 3000,
        };
        Assert.Equal(expected, task);
        TrainerOptions options = task.Options().Validate();
        Assert.Equal((length, batch, task), (options.Context, options.BatchSize, options.Task));
        Assert.Equal(64 * options.EvaluationInterval, options.Steps);
        Assert.InRange(options.EvaluationInterval * (long)batch, 100_000, 100_000 + batch - 1);
    }

    [Fact]
    public void Steps_follow_the_batch()
    {
        TrainerOptions options = Task.Options(100);
        Assert.Equal((64 * 1000, 1000), (options.Steps, options.EvaluationInterval));
    }

    [Theory]
    [InlineData(64, null, 4, 2)]
    [InlineData(64, 3, 3, 2)]
    [InlineData(512, null, 64, 32)]
    public void Forgetting_rewrites_half_of_the_keys(int length, int? pairs, int expected, int rewrites)
    {
        RecallTask task = RecallTask.Zoology(length, RecallTask.ForgettingName, pairs).Validate();
        Assert.Equal((expected, rewrites, "forgetting-mqar"), (task.Pairs, task.Rewrites, task.Name));
        Assert.Equal("mqar", (task with { Rewrites = 0 }).Name);
    }

    [Fact]
    public void The_farthest_answer_is_the_first_value_asked_for_in_the_last_slot() => Assert.Equal(61, Task.FarthestAnswer);

    public static TheoryData<RecallTask, string> Impossible => new()
    {
        { Task with { Pairs = 17 }, "17 pairs and a slot for each question take 68 tokens, and examples have 64; use fewer pairs" },
        { Task with { Pairs = 16, Rewrites = 1 }, "16 pairs, 1 of them written again, and a slot for each question take 66 tokens" },
        { Task with { Pairs = 4, Rewrites = 5 }, "5 keys cannot be written again where there are 4" },
        { Task with { Length = 63 }, "examples of 63 tokens cannot be cut into slots of two; use an even length" },
        { Task with { Length = 2 }, "even length from 4 on" },
        { Task with { Pairs = 0 }, "use at least 1 pair" },
        { Task with { VocabularySize = 64 }, "examples of 64 tokens need a vocabulary of more than that (up to 16777216), and it has 64" },
        { Task with { Power = 0 }, "the power is 0" },
        { Task with { Power = double.NaN }, "the power is NaN" },
        { Task with { TestExamples = 0 }, "use at least 1" },
    };

    [Theory]
    [MemberData(nameof(Impossible))]
    public void A_task_that_cannot_be_set_is_refused_in_a_sentence(RecallTask task, string expected)
    {
        string message = Assert.Throws<InputException>(() => task.Validate()).Message;
        Assert.StartsWith($"The task {task.Name} cannot be set: ", message, StringComparison.Ordinal);
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.EndsWith(".", message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_tightest_tasks_are_allowed()
    {
        (Task with { Pairs = 16, VocabularySize = 65 }).Validate();
        (Task with { Pairs = 10, Rewrites = 10, Length = 60, VocabularySize = 61 }).Validate();
    }

    [Fact]
    public void Model_and_options_must_fit_the_task()
    {
        ModelConfig model = ModelConfig.Preset("zoology");
        TrainerOptions options = Task.Options();
        string Refusal(ModelConfig asked, TrainerOptions how) => Assert.Throws<InputException>(() => Task.Check(asked, how)).Message;
        Task.Check(model, options);
        Assert.Contains("vocabulary_size 257", Refusal(model with { VocabularySize = 257 }, options), StringComparison.Ordinal);
        Assert.Contains("context 128", Refusal(model, options with { Context = 128 }), StringComparison.Ordinal);
        Assert.Contains("name another", Refusal(model, options with { Task = Task with { Pairs = 5 } }), StringComparison.Ordinal);
    }

    [Fact]
    public void An_unknown_task_is_refused_with_the_known_ones() => Assert.Contains(
        "use mqar or forgetting-mqar",
        Assert.Throws<InputException>(() => RecallTask.Zoology(64, "sudoku")).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Other_tasks_have_other_fingerprints()
    {
        RecallTask[] tasks =
        [
            Task, Task with { Pairs = 5 }, Task with { Rewrites = 1 }, Task with { VocabularySize = 100 }, Task with { RandomFiller = true },
            Task with { Power = 0.5 },
        ];
        Assert.Equal(tasks.Length, tasks.Select(task => task.Fingerprint()).Distinct().Count());
        Assert.Equal(Task.Fingerprint(), (Task with { }).Fingerprint());
    }
}
