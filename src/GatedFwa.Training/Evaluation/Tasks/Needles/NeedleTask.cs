using GatedFwa.Generation;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;

namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>A task that is solved by finding again what a long prompt hides.</summary>
internal abstract class NeedleTask(string name, string description, TaskSource source) : EvaluationTask(name, description, source)
{
    /// <summary>Places a needle may have, evenly from the beginning of the haystack to its end.</summary>
    protected const int Depths = 40;

    /// <summary>Tokens that the model may answer with.</summary>
    public abstract int AnswerTokens { get; }

    /// <summary>The prompts for these options.</summary>
    /// <exception cref="InputException">Not even the shortest prompt fits the length.</exception>
    public IReadOnlyList<NeedlePrompt> Prompts(TaskOptions options)
    {
        var random = new CounterRandom(options.Seed);
        Func<CounterRandom, int, int, NeedlePrompt> make = Maker(options);
        return
        [
            .. Enumerable.Range(0, options.Samples).Select(
                sample => Longest(options.Length, size => make(random.Split((ulong)sample), sample, size))),
        ];
    }

    /// <summary>From 0 to 1: how well an answer names what was hidden.</summary>
    public abstract double Score(string answer, NeedlePrompt prompt);

    /// <summary>Makes the prompt of a stream of random numbers, a sample and a size of the haystack, from 0 up.</summary>
    protected abstract Func<CounterRandom, int, int, NeedlePrompt> Maker(TaskOptions options);

    private protected override PreparedTask Make(TaskOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Samples, 1);
        IReadOnlyList<NeedlePrompt> prompts = Prompts(options);
        return new PreparedTask(Name, prompts.Count, subject => [TaskFigure.Mean("score", [.. Scores(subject, prompts)])], options.Length);
    }

    private IEnumerable<double> Scores(TaskSubject subject, IReadOnlyList<NeedlePrompt> prompts)
    {
        var generator = new Generator(subject.Model, subject.Tokenizer);
        var options = new GenerationOptions { MaxTokens = AnswerTokens, Sampling = new SamplingOptions { Temperature = 0 } };
        for (int i = 0; i < prompts.Count; i++)
        {
            yield return Score(string.Concat(generator.Generate(prompts[i].Text, options)), prompts[i]);
            subject.Progress?.Invoke((i + 1.0) / prompts.Count);
        }
    }

    /// <summary>The prompt with the largest haystack that fits, found by doubling and halving.</summary>
    private NeedlePrompt Longest(int length, Func<int, NeedlePrompt> make)
    {
        NeedlePrompt longest = make(0);
        if (Tokens(longest) > length)
        {
            throw new InputException(
                $"A length of {length} tokens is too short for {Name}: its shortest prompt and the answer take {Tokens(longest)}; " +
                "ask for more.");
        }

        int fits = 0, tooLarge = int.MaxValue, size = 1;
        while (tooLarge - fits > 1)
        {
            NeedlePrompt prompt = make(size);
            if (Tokens(prompt) <= length) (longest, fits) = (prompt, size);
            else tooLarge = size;
            size = tooLarge == int.MaxValue ? checked(2 * size) : fits + ((tooLarge - fits) / 2);
        }

        return longest;
    }

    /// <summary>The token that begins a document, the prompt, and room for the answer.</summary>
    private int Tokens(NeedlePrompt prompt) => 1 + new ByteTokenizer().Encode(prompt.Text).Length + AnswerTokens;
}
