using GatedFwa.Tensors;

namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>What RULER's needles lie in.</summary>
internal enum Hay
{
    /// <summary>The same few sentences again and again.</summary>
    Noise,

    /// <summary>A text of the user's; RULER takes essays.</summary>
    Essay,

    /// <summary>More needles, of other keys.</summary>
    Needles,
}

/// <summary>
/// The needle tasks of RULER (Hsieh et al. 2024): magic numbers, words and UUIDs hidden under keys. The score is the share of values
/// that the answer holds, large and small letters alike.
/// </summary>
internal sealed class Ruler : NeedleTask
{
    private readonly Hay _hay;
    private readonly Magic _key, _value;
    private readonly int _keys, _values, _queries;

    private Ruler(string name, string description, Hay hay, Magic key, Magic value, int keys = 1, int values = 1, int queries = 1)
        : base(name, description, hay == Hay.Essay ? TaskSource.Haystack : TaskSource.Seed) =>
        (_hay, _key, _value, _keys, _values, _queries) = (hay, key, value, Math.Max(keys, queries), values, queries);

    public static IReadOnlyList<Ruler> Tasks { get; } =
    [
        new("niah_single_1", "a number in noise", Hay.Noise, Magic.Words, Magic.Numbers),
        new("niah_single_2", "a number in a text", Hay.Essay, Magic.Words, Magic.Numbers),
        new("niah_single_3", "a UUID in a text", Hay.Essay, Magic.Words, Magic.Uuids),
        new("niah_multikey_1", "one number of four in a text", Hay.Essay, Magic.Words, Magic.Numbers, keys: 4),
        new("niah_multikey_2", "one number among nothing but numbers", Hay.Needles, Magic.Words, Magic.Numbers),
        new("niah_multikey_3", "one UUID among nothing but UUIDs", Hay.Needles, Magic.Uuids, Magic.Uuids),
        new("niah_multivalue", "four numbers of one key in a text", Hay.Essay, Magic.Words, Magic.Numbers, values: 4),
        new("niah_multiquery", "numbers of four keys in a text", Hay.Essay, Magic.Words, Magic.Numbers, queries: 4),
    ];

    public override int AnswerTokens => 128;

    public override double Score(string answer, NeedlePrompt prompt) =>
        prompt.Answers.Average(value => answer.Contains(value, StringComparison.OrdinalIgnoreCase) ? 1.0 : 0);

    protected override Func<CounterRandom, int, int, NeedlePrompt> Maker(TaskOptions options)
    {
        Haystack? text = _hay == Hay.Essay ? Haystack.Read(options.Haystack) : null;
        return (random, _, size) => Make(random, size, text);
    }

    /// <summary>The prompt with a haystack of a size: words of the text, or lines beside those that the needles need.</summary>
    internal NeedlePrompt Make(CounterRandom random, int size, Haystack? text)
    {
        var dice = new Dice(random);
        var keys = new List<string>();
        while (keys.Count < _keys) keys.Add(dice.Draw(_key, keys));
        string[][] values = [.. keys.Select(_ => Enumerable.Range(0, _values).Select(_ => dice.Draw(_value)).ToArray())];
        string[] needles = dice.Shuffle([.. keys.SelectMany((key, i) => values[i].Select(value => Needle(key, value)))]);
        int[] asked = dice.Sample(_queries, _keys);

        string context = text is null
            ? string.Join('\n', HideInLines(dice, random.Split(1), needles, keys, size + needles.Length))
            : text.Hide(size, needles, [.. dice.Sample(needles.Length, Depths).Order().Select(Depth)]);
        return new NeedlePrompt(Prompt(context, [.. asked.Select(i => keys[i])]), [.. asked.SelectMany(i => values[i])]);
    }

    /// <summary>The d-th of 40 depths, which RULER rounds to whole per cents.</summary>
    private static double Depth(int d) => Math.Round(100.0 * d / (Depths - 1)) / 100;

    private List<string> HideInLines(Dice dice, CounterRandom others, string[] needles, List<string> keys, int lines)
    {
        var hay = new Dice(others);
        // Keys of the haystack are none of those that are asked for: with so few words RULER's chance of a double would be large.
        List<string> all =
            [.. Enumerable.Range(0, lines).Select(_ => _hay == Hay.Noise ? Passkey.Noise : Needle(hay.Draw(_key, keys), hay.Draw(_value)))];
        int[] places = [.. dice.Sample(needles.Length, lines).OrderDescending()];
        for (int i = 0; i < needles.Length; i++) all.Insert(places[i], needles[i]);
        return all;
    }

    private string Needle(string key, string value) => $"One of the special magic {Plural} for {key} is: {value}.";

    private string Plural => _value.ToString().ToLowerInvariant();

    private string Prompt(string context, string[] asked)
    {
        bool one = _queries * _values == 1;
        string query = one || asked.Length == 1 ? asked[0] : $"{string.Join(", ", asked[..^1])}, and {asked[^1]}";
        string type = one ? Plural[..^1] : Plural, are = one ? "is" : "are";
        return
            $"{(one ? "A" : "Some")} special magic {type} {are} hidden within the following text. Make sure to memorize it. " +
            $"I will quiz you about the {type} afterwards.\n{context}\n" +
            $"What {(one ? "is" : "are all")} the special magic {type} for {query} mentioned in the provided text? " +
            $"The special magic {type} for {query} mentioned in the provided text {are}";
    }
}
