using System.Text;
using GatedFwa.Tensors;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests;

/// <summary>Synthetic texts: words drawn from a small vocabulary, so that there is something to learn.</summary>
internal static class Texts
{
    private static readonly string[] Words = ["the ", "gate ", "forgets ", "a window ", "of keys ", "slowly. ", "and ", "then ", "remembers ", "é "];

    public static byte[] Bytes(int words, ulong seed)
    {
        var random = new CounterRandom(seed);
        return Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, words).Select(i => Words[random.Below(i, Words.Length)])));
    }

    public static Document Document(int words, ulong seed) => new($"text {seed}", Bytes(words, seed));

    public static Document Document(string text) => new("text", Encoding.UTF8.GetBytes(text));

    public static TokenStream Stream(params string[] texts) =>
        TokenStream.Join([.. texts.Select(text => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(text))]);

    public static int[] Tokens(TokenStream stream)
    {
        var tokens = new int[stream.Length];
        stream.CopyTo(0, tokens);
        return tokens;
    }
}
