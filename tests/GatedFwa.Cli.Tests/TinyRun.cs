using System.Text;

namespace GatedFwa.Cli.Tests;

/// <summary>The smallest thing that trains: a corpus of sentences and a model that a step takes a millisecond for.</summary>
internal static class TinyRun
{
    public const string Corpus = "corpus.txt";

    private static readonly string[] Model = ["--layers", "1", "--width", "16", "--heads", "2", "--window", "8", "--context", "16", "--batch", "2"];

    public static string[] Train(string output, int steps, params string[] more) =>
        ["train", "--data", Corpus, "--output", output, "--steps", $"{steps}", .. Model, .. more];

    public static string[] Compare(string output, int steps, params string[] more) =>
        ["compare", Corpus, "--output", output, "--steps", $"{steps}", .. Model, .. more];

    public static void WriteCorpus(string folder)
    {
        string[] subjects = ["the cat", "a dog", "one bird", "the old horse"], verbs = ["sees", "follows", "hears", "ignores"];
        var text = new StringBuilder();
        for (int i = 0; i < 400; i++) text.Append($"{subjects[i % 4]} {verbs[i / 4 % 4]} {subjects[i / 16 % 4]}. ");
        File.WriteAllText(Path.Combine(folder, Corpus), text.ToString());
    }
}
