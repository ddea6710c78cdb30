using System.Globalization;
using System.Text.RegularExpressions;
using GatedFwa.Tensors;

namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>
/// The pass key of Landmark Attention (Mohtashami and Jaggi 2023): a number in a text that says nothing else. Sample i hides it at the
/// i-th of 40 depths, over and over.
/// </summary>
internal sealed partial class Passkey() : NeedleTask("passkey", "a number in a text that says nothing else", TaskSource.Seed)
{
    /// <summary>The sentences that say nothing, of RULER too.</summary>
    internal const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

    private const int LargestKey = 50_000;

    private const string Beginning =
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. " +
        "I will quiz you about the important information there.";

    public static Passkey Task { get; } = new();

    public override int AnswerTokens => 10;

    /// <summary>The first number of the answer is the key: a "7" somewhere in it would prove nothing.</summary>
    public override double Score(string answer, NeedlePrompt prompt) => Digits().Match(answer).Value == prompt.Answers[0] ? 1 : 0;

    /// <summary>The prompt with so many characters of filler.</summary>
    internal static NeedlePrompt Make(CounterRandom random, int sample, int size)
    {
        string key = (1 + random.Below(0, LargestKey)).ToString(CultureInfo.InvariantCulture);
        int before = (int)((long)size * (sample % Depths) / (Depths - 1));
        string[] lines =
        [
            Beginning,
            Filler(before),
            $"The pass key is {key}. Remember it. {key} is the pass key.",
            Filler(size - before),
            "What is the pass key? The pass key is",
        ];
        return new NeedlePrompt(string.Join('\n', lines), [key]);
    }

    protected override Func<CounterRandom, int, int, NeedlePrompt> Maker(TaskOptions options) => Make;

    private static string Filler(int characters) => string.Create(characters, Noise + " ", (text, noise) =>
    {
        for (int i = 0; i < text.Length; i++) text[i] = noise[i % noise.Length];
    });

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Digits();
}
