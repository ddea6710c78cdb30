using System.IO.Enumeration;
using System.Text.Unicode;

namespace GatedFwa.Training.Data;

/// <summary>Text from what a user names: files, folders (with everything below them) and patterns.</summary>
public static class TextFiles
{
    private static readonly EnumerationOptions Below = new()
    {
        RecurseSubdirectories = true,
        AttributesToSkip = FileAttributes.Hidden | FileAttributes.System,
        IgnoreInaccessible = false,
    };

    /// <summary>Reads every file that is named, in order of path, each once; a file is a document.</summary>
    /// <param name="names">Files, folders, or patterns with <c>*</c>, <c>?</c> and <c>**</c> (any folders).</param>
    /// <exception cref="InputException">A name matches nothing, or a file is empty, binary, not UTF-8 or cannot be read.</exception>
    public static IReadOnlyList<Document> Read(IEnumerable<string> names) => [.. Find(names).Select(Read)];

    /// <summary>The files that names stand for, in order of path, each once.</summary>
    /// <param name="names">Files, folders or patterns.</param>
    /// <exception cref="InputException">A name matches nothing.</exception>
    public static IReadOnlyList<string> Find(IEnumerable<string> names)
    {
        return [.. names.SelectMany(FindOne).Order(StringComparer.Ordinal).DistinctBy(Path.GetFullPath)];
    }

    /// <summary>Reads one file and checks that it is text.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputException">It is missing, empty, binary, not UTF-8 or cannot be read.</exception>
    public static Document Read(string path)
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InputException($"There is no file \"{path}\"; check the path.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InputException(
                $"The file \"{path}\" cannot be read ({exception.Message.TrimEnd('.')}); check its permissions and size.",
                exception);
        }

        ReadOnlyMemory<byte> text = bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
        if (text.IsEmpty) throw new InputException($"The file \"{path}\" is empty; give a file with text.");
        // A zero byte is valid UTF-8 and yet the surest sign of a file that no one reads as text.
        if (text.Span.Contains((byte)0))
            throw new InputException($"The file \"{path}\" is binary, not text; name the text files alone, for instance with '**/*.txt'.");
        if (!Utf8.IsValid(text.Span))
        {
            throw new InputException(
                $"The file \"{path}\" is not UTF-8 text; convert it first, for instance with 'iconv -f LATIN1 -t UTF-8'.");
        }

        return new Document(path, text);
    }

    private static IEnumerable<string> FindOne(string name)
    {
        if (File.Exists(name)) return [name];
        if (Directory.Exists(name))
        {
            string[] files = List(name, Below);
            return files.Length > 0 ? files : throw new InputException($"The folder \"{name}\" holds no file; name one that does.");
        }

        if (name.AsSpan().IndexOfAny('*', '?') < 0)
            throw new InputException($"There is no file or folder \"{name}\"; check the path.");
        string[] matches = Expand(name);
        return matches.Length > 0 ? matches : throw new InputException($"The pattern \"{name}\" matches no file; check it, or name a file.");
    }

    private static string[] Expand(string pattern)
    {
        string[] parts = pattern.Split(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar);
        int first = Array.FindIndex(parts, part => part.AsSpan().IndexOfAny('*', '?') >= 0);
        string root = string.Join(Path.DirectorySeparatorChar, parts[..first]);
        if (root.Length == 0) root = first > 0 ? $"{Path.DirectorySeparatorChar}" : ".";
        if (!Directory.Exists(root)) return [];
        string[] wanted = parts[first..];
        var depth = new EnumerationOptions
        {
            RecurseSubdirectories = wanted.Length > 1 || wanted[0] == "**",
            AttributesToSkip = Below.AttributesToSkip,
            IgnoreInaccessible = false,
        };
        return [.. List(root, depth).Where(file => Matches(wanted, Path.GetRelativePath(root, file).Split(Path.DirectorySeparatorChar)))];
    }

    private static bool Matches(ReadOnlySpan<string> pattern, ReadOnlySpan<string> path)
    {
        if (pattern.IsEmpty) return path.IsEmpty;
        if (pattern[0] == "**")
        {
            if (pattern.Length == 1) return !path.IsEmpty;
            for (int skipped = 0; skipped < path.Length; skipped++)
            {
                if (Matches(pattern[1..], path[skipped..])) return true;
            }

            return false;
        }

        return !path.IsEmpty && FileSystemName.MatchesSimpleExpression(pattern[0], path[0], ignoreCase: false) && Matches(pattern[1..], path[1..]);
    }

    private static string[] List(string folder, EnumerationOptions options)
    {
        try
        {
            return Directory.GetFiles(folder, "*", options);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InputException(
                $"The folder \"{folder}\" cannot be listed ({exception.Message.TrimEnd('.')}); check its permissions.",
                exception);
        }
    }
}
