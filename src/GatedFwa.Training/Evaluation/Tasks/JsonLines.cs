using System.Text;
using GatedFwa.Checkpoints;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>Files of one JSON object a line. Empty lines count as lines, but say nothing.</summary>
internal static class JsonLines
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads every line of every file.</summary>
    /// <typeparam name="T">What a line becomes.</typeparam>
    /// <param name="paths">The files, one after the other.</param>
    /// <param name="read">Makes it of a line.</param>
    /// <exception cref="InputException">A file cannot be read, a line is not what is expected, or there is no line at all.</exception>
    public static IReadOnlyList<T> Read<T>(IReadOnlyList<string> paths, Func<TaskLine, T> read)
    {
        var examples = new List<T>();
        foreach (string path in paths)
        {
            int before = examples.Count;
            Read(path, read, examples);
            if (examples.Count == before)
                throw new InputException($"{Phrase.Quote(path)} holds no line; give a file with one JSON object a line.");
        }

        return examples;
    }

    private static void Read<T>(string path, Func<TaskLine, T> read, List<T> examples)
    {
        using var reader = new StreamReader(InputFile.Open(path), Strict);
        for (int number = 1; Next(reader, path, number) is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line)) continue;
            string place = $"{Phrase.Quote(path)} line {number}";
            examples.Add(StrictJson.Line(Encoding.UTF8.GetBytes(line), place, root => read(new TaskLine(root, place))));
        }
    }

    private static string? Next(StreamReader reader, string path, int number)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (DecoderFallbackException exception)
        {
            // The reader decodes ahead: the line is where it stood, not where the byte is.
            throw new InputException($"{Phrase.Quote(path)} is not UTF-8 text at or after line {number}; convert it first.", exception);
        }
        catch (IOException exception)
        {
            throw InputFile.Unreadable(path, exception);
        }
    }
}
