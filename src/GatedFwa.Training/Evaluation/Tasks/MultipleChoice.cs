namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>A question with the answers to choose from.</summary>
/// <param name="Choices">What each answer makes of it.</param>
/// <param name="Characters">The length of each answer, its joining space left out: what <c>acc_norm</c> divides by.</param>
/// <param name="Gold">The right one.</param>
internal sealed record Choice(IReadOnlyList<Continuation> Choices, IReadOnlyList<int> Characters, int Gold)
{
    /// <summary>Answers that follow one context, a space between.</summary>
    public static Choice After(string context, IReadOnlyList<string> answers, int gold) =>
        new([.. answers.Select(answer => new Continuation(context, " " + answer))], [.. answers.Select(PythonText.Length)], gold);
}

/// <summary>A task that is solved by the likeliest of several answers.</summary>
/// <param name="name">Its name.</param>
/// <param name="description">What it asks.</param>
/// <param name="read">Makes a question of a line.</param>
/// <param name="hasNorm">Whether <c>acc_norm</c> is reported, too.</param>
internal sealed class MultipleChoice(string name, string description, Func<TaskLine, Choice> read, bool hasNorm) :
    EvaluationTask(name, description, TaskSource.JsonLines)
{
    /// <summary>The share of questions whose likeliest answer is the right one; for <c>acc_norm</c> the likeliest a character.</summary>
    public static IEnumerable<TaskFigure> Figures(IReadOnlyList<Choice> questions, ReadOnlySpan<ContinuationScore> scores, bool hasNorm)
    {
        var right = new double[questions.Count];
        var rightByLength = new double[questions.Count];
        int first = 0;
        for (int i = 0; i < questions.Count; i++)
        {
            Choice question = questions[i];
            int count = question.Choices.Count;
            var sums = new double[count];
            for (int choice = 0; choice < count; choice++) sums[choice] = scores[first + choice].LogLikelihood;
            right[i] = Largest(sums) == question.Gold ? 1 : 0;
            for (int choice = 0; choice < count; choice++) sums[choice] /= question.Characters[choice];
            rightByLength[i] = Largest(sums) == question.Gold ? 1 : 0;
            first += count;
        }

        TaskFigure accuracy = TaskFigure.Mean("acc", right);
        return hasNorm ? [accuracy, TaskFigure.Mean("acc_norm", rightByLength)] : [accuracy];
    }

    private protected override PreparedTask Make(TaskOptions options)
    {
        IReadOnlyList<Choice> questions = JsonLines.Read(options.Files, read);
        return new PreparedTask(
            Name,
            questions.Count,
            subject => Figures(questions, subject.Score(questions.SelectMany(question => question.Choices)), hasNorm));
    }

    /// <summary>The place of the largest; of equal ones the first.</summary>
    private static int Largest(double[] values)
    {
        int largest = 0;
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > values[largest]) largest = i;
        }

        return largest;
    }
}
