using System.Text;

namespace GatedFwa.Checkpoints;

/// <summary>
/// Writes files that are either the old one or the new one, whatever happens in between: the content goes to
/// <c>NAME.partial</c> beside the target, then to the disk, and then takes the target's place in one step.
/// </summary>
internal static class AtomicFile
{
    private const int BufferBytes = 1 << 16;

    // errno ENOSPC and EDQUOT, and the Windows codes for a full disk: what IOException.HResult carries.
    private static readonly int[] DiskFull = [28, 122, unchecked((int)0x80070070), unchecked((int)0x80070027)];

    /// <summary>Replaces a file, or makes it.</summary>
    /// <param name="path">The file; its folder must exist. A device such as <c>/dev/stdout</c> is written in place.</param>
    /// <param name="write">Writes the content.</param>
    /// <exception cref="InputException">The file cannot be written. What was there before is untouched.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        if (path.Length == 0) throw new InputException("The file to write has no name; give it one.");
        string full = Path.GetFullPath(path);
        try
        {
            if (Directory.Exists(full)) throw new InputException($"{Phrase.Quote(path)} is a folder; name a file to write.");
            if (IsDevice(full)) WriteDurably(Open(full, FileMode.Open), write);
            else Replace(full, write);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unwritable(path, e);
        }
    }

    /// <summary>Replaces a file with text in UTF-8, or makes it.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="text">The new content.</param>
    /// <exception cref="InputException">The file cannot be written. What was there before is untouched.</exception>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    /// <summary>Refuses a file that there is no room for. Only asks: to take the room for a moment would take it from others.</summary>
    /// <param name="path">The file, which stays as it is; its folder must exist.</param>
    /// <param name="bytes">The size that it is to have.</param>
    /// <exception cref="InputException">There is no room.</exception>
    public static void RequireRoom(string path, long bytes)
    {
        string full = Path.GetFullPath(path);
        try
        {
            // Elsewhere a disk is a letter, here whatever is mounted at a folder.
            string disk = (OperatingSystem.IsWindows() ? Path.GetPathRoot(full) : Path.GetDirectoryName(full))!;
            if (new DriveInfo(disk).AvailableFreeSpace < bytes) throw Full(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // Not a disk that says how much it has left, such as a share of Windows: then writing will tell.
        }
    }

    /// <summary>Makes a folder and those above it, where they do not exist yet.</summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="InputException">It cannot be made.</exception>
    public static void CreateDirectory(string path)
    {
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"The folder {Phrase.Quote(path)} cannot be made; choose one in a place where you may write.", e);
        }
    }

    private static void Replace(string target, Action<Stream> write)
    {
        string partial = target + ".partial";
        // Before the try: where this fails another process is writing the same file, and what is there is not ours to delete.
        FileStream stream = Open(partial, FileMode.Create);
        try
        {
            WriteDurably(stream, write);
            File.Move(partial, target, overwrite: true);
        }
        catch
        {
            TryDelete(partial);
            throw;
        }
    }

    private static FileStream Open(string path, FileMode mode) => new(path, mode, FileAccess.Write, FileShare.None, BufferBytes);

    private static void WriteDurably(FileStream stream, Action<Stream> write)
    {
        using (stream)
        {
            write(stream);
            stream.Flush(flushToDisk: true);
        }
    }

    // Renaming over /dev/null would replace the device itself for everyone on the machine. What lies in /dev/shm is plain files.
    private static bool IsDevice(string path) =>
        !OperatingSystem.IsWindows() && IsBelow("/dev/", path) && !IsBelow("/dev/shm/", path) && File.Exists(path);

    private static bool IsBelow(string folder, string path) => path.StartsWith(folder, StringComparison.Ordinal);

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The error that led here is the one to tell.
        }
    }

    /// <summary>The sentence for a file that the system does not let us write.</summary>
    internal static InputException Unwritable(string path, Exception cause)
    {
        string name = Phrase.Quote(path);
        return cause switch
        {
            IOException when DiskFull.Contains(cause.HResult) => Full(path, cause),
            DirectoryNotFoundException => new($"{name} cannot be written because its folder does not exist; make the folder first.", cause),
            UnauthorizedAccessException =>
                new($"{name} cannot be written because its folder is read-only for you; write elsewhere.", cause),
            _ => new($"{name} cannot be written; write elsewhere (the system says: {cause.Message})", cause),
        };
    }

    private static InputException Full(string path, Exception? cause = null) =>
        new($"{Phrase.Quote(path)} cannot be written because the disk is full; free some space or write elsewhere.", cause);
}
