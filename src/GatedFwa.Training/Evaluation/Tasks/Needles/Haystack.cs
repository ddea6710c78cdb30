using System.Text;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>A text as words and sentences, endless: after its end it begins again.</summary>
internal sealed class Haystack
{
    private readonly string[] _words;
    private readonly int[] _ends;

    /// <summary>Makes one.</summary>
    /// <param name="text">Any text; runs of white space count as one space.</param>
    public Haystack(string text)
    {
        _words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        _ends = [.. Enumerable.Range(1, _words.Length).Where(end => end == _words.Length || EndsSentence(_words[end - 1]))];
    }

    /// <summary>Reads one from all that is named.</summary>
    /// <exception cref="InputException">A file cannot be read, or there are no words.</exception>
    public static Haystack Read(IReadOnlyList<string> names)
    {
        string text = string.Join('\n', TextFiles.Read(names).Select(document => Encoding.UTF8.GetString(document.Text.Span)));
        var haystack = new Haystack(text);
        return haystack._words.Length > 0 ? haystack : throw new InputException("The haystack holds no word; name a file with text.");
    }

    /// <summary>The first words of the text, with needles between sentences.</summary>
    /// <param name="words">How many words.</param>
    /// <param name="needles">The needles, in order.</param>
    /// <param name="depths">Where each goes, from 0, the beginning, to 1, the end; ascending.</param>
    public string Hide(int words, IReadOnlyList<string> needles, IReadOnlyList<double> depths)
    {
        int sentences = Sentences(words), done = 0;
        var parts = new List<string>();
        for (int i = 0; i < needles.Count; i++)
        {
            int end = Math.Min(words, WordsIn((int)(sentences * depths[i])));
            parts.Add(Words(done, end));
            parts.Add(needles[i]);
            done = end;
        }

        parts.Add(Words(done, words));
        return string.Join(' ', parts);
    }

    /// <summary>Sentences that so many words make; the last may be cut.</summary>
    private int Sentences(int words)
    {
        int rest = words % _words.Length, found = Array.BinarySearch(_ends, rest);
        int whole = (words / _words.Length * _ends.Length) + (found >= 0 ? found + 1 : ~found);
        return found >= 0 || rest == 0 ? whole : whole + 1;
    }

    /// <summary>Words that so many sentences take.</summary>
    private int WordsIn(int sentences)
    {
        int rest = sentences % _ends.Length;
        return (sentences / _ends.Length * _words.Length) + (rest == 0 ? 0 : _ends[rest - 1]);
    }

    private string Words(int start, int end)
    {
        var text = new StringBuilder();
        for (int i = start; i < end; i++) text.Append(i > start ? " " : "").Append(_words[i % _words.Length]);
        return text.ToString();
    }

    private static bool EndsSentence(string word) => word.AsSpan().TrimEnd("\"')]”’»") is [.., '.' or '!' or '?'];
}
