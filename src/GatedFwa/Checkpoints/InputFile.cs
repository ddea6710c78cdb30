namespace GatedFwa.Checkpoints;

/// <summary>Opens a file that a user named; whatever prevents it becomes one sentence.</summary>
internal static class InputFile
{
    /// <summary>Opens a regular file for random access.</summary>
    /// <exception cref="InputException">There is no such file, it may not be read, or it is a folder or a pipe.</exception>
    public static FileStream Open(string path)
    {
        if (Directory.Exists(path))
            throw new InputException($"{Phrase.Quote(path)} is a folder where a file is expected; name a file in it.");
        if (!File.Exists(path)) throw new InputException($"There is no file {Phrase.Quote(path)}; check the path.");
        try
        {
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            if (stream.CanSeek) return stream;
            stream.Dispose();
            throw new InputException($"{Phrase.Quote(path)} is not a regular file; write its content to a file first.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>Reads a whole file of at most <paramref name="maxBytes"/>.</summary>
    /// <exception cref="InputException">The file cannot be read or is larger.</exception>
    public static byte[] ReadAll(string path, long maxBytes)
    {
        using FileStream stream = Open(path);
        if (stream.Length > maxBytes)
        {
            throw new InputException(
                $"{Phrase.Quote(path)} has {stream.Length} bytes where at most {maxBytes} make sense; is it the right file?");
        }

        try
        {
            var bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            return bytes;
        }
        catch (IOException e)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>The sentence for a file that the system does not let us read.</summary>
    public static InputException Unreadable(string path, Exception cause) => cause switch
    {
        UnauthorizedAccessException => new($"{Phrase.Quote(path)} may not be read; change its permissions.", cause),
        EndOfStreamException => new($"{Phrase.Quote(path)} became shorter while it was read; wait until it is written, then try again.", cause),
        _ => new($"{Phrase.Quote(path)} cannot be read; the system says: {cause.Message}", cause),
    };
}
