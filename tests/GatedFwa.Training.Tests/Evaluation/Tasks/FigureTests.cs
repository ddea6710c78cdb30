using GatedFwa.Models;
using GatedFwa.Testing;
using GatedFwa.Training.Evaluation.Tasks;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

/// <summary>From scores to figures.</summary>
public sealed class FigureTests : TensorTest
{
    [Fact]
    public void The_largest_sum_wins_and_for_acc_norm_the_largest_a_character()
    {
        // −6 beats −8, but −8 over eight characters beats −6 over two.
        Choice choice = Choice.After("x", ["ab", "abcdefgh"], gold: 1);
        Assert.Equal([0, 1], Values([choice], -6, -8));
        Assert.Equal([1, 0], Values([choice with { Gold = 0 }], -6, -8));
    }

    [Fact]
    public void Of_equal_answers_the_first_wins()
    {
        Choice choice = Choice.After("x", ["same", "same", "more"], gold: 0);
        Assert.Equal([1, 1], Values([choice], -5, -5, -9));
        Assert.Equal([0, 0], Values([choice with { Gold = 1 }], -5, -5, -9));
    }

    [Fact]
    public void Characters_leave_out_the_joining_space_and_an_empty_answer_never_wins_a_character()
    {
        // −2/1 loses to −4.5/3; with the space counted, −2/2 would win over −4.5/4.
        Assert.Equal([1, 0], Values([Choice.After("x", ["a", "abc"], gold: 0)], -2, -4.5));
        Assert.Equal([1, 0], Values([Choice.After("x", ["", "abc"], gold: 0)], -2, -4.5));
    }

    [Fact]
    public void Questions_may_have_different_numbers_of_answers()
    {
        Choice two = Choice.After("x", ["a", "b"], gold: 1), three = Choice.After("x", ["a", "b", "c"], gold: 2);
        Assert.Equal([1, 1], Values([two, three, two], -2, -1, -3, -3, -2, -9, -1));
        Assert.Equal([2 / 3.0, 2 / 3.0], Values([two, three, two], -2, -1, -3, -3, -2, -1, -9));
    }

    [Fact]
    public void The_error_is_that_of_a_sample()
    {
        TaskFigure figure = TaskFigure.Mean("acc", [1, 0, 0, 1, 1]);
        Assert.Equal(0.6, figure.Value, 12);
        Assert.Equal(Math.Sqrt(0.3 / 5), figure.StandardError!.Value, 12); // Variance 1.2 / 4.
        Assert.Null(TaskFigure.Mean("acc", [1]).StandardError);
    }

    [Fact]
    public void A_completion_counts_greedy_ends_and_the_likelihood_of_whole_ends()
    {
        TaskFigure[] figures = [.. Completion.Figures([new(-1, true), new(-3, false)])];
        Assert.Equal([0.5, Math.Exp(2)], figures.Select(figure => figure.Value));
        Assert.Equal(Math.Exp(2) * 1, figures[1].StandardError!.Value, 12); // e² times the error of the mean, √2 / √2.
    }

    [Fact]
    public void A_task_says_what_the_model_could_see()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("lambada.jsonl", """{"text":"a b"}""");
        using var windowed = new LanguageModel(TinyRun.Model, seed: 1);
        using var full = new LanguageModel(TinyRun.Model with { Window = null }, seed: 1);
        PreparedTask task = EvaluationTask.Parse("lambada").Prepare(new() { Files = [path] });
        TaskResult far = task.Evaluate(windowed)[0], near = task.Evaluate(full, maxLength: 16)[0];
        Assert.Equal((null, 14L), (far.MaxLength, far.Reach)); // Two layers of a window of 8.
        Assert.Equal((16, null), (near.MaxLength, near.Reach));
        Assert.Equal(("lambada", "acc", 1), (far.Task, far.Metric, far.Count));
    }

    [Fact]
    public void A_model_of_no_bytes_is_refused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("lambada.jsonl", """{"text":"a b"}""");
        using var small = new LanguageModel(TinyRun.Model with { VocabularySize = 100 }, seed: 1);
        PreparedTask task = EvaluationTask.Parse("lambada").Prepare(new() { Files = [path] });
        Assert.Contains("knows 100 tokens", Assert.Throws<InputException>(() => task.Evaluate(small)).Message, StringComparison.Ordinal);
    }

    private static double[] Values(Choice[] questions, params double[] sums)
    {
        ContinuationScore[] scores = [.. sums.Select(sum => new ContinuationScore(sum, false))];
        return [.. MultipleChoice.Figures(questions, scores, hasNorm: true).Select(figure => figure.Value)];
    }
}
