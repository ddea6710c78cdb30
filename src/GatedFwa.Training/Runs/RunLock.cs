using GatedFwa.Checkpoints;

namespace GatedFwa.Training.Runs;

/// <summary>
/// Keeps every other process out of a run's folder while one trains there: two would cut off each other's metrics and replace
/// each other's checkpoints. The system lets go of it however a process ends; the file that a kill leaves behind locks nothing.
/// </summary>
internal sealed class RunLock : IDisposable
{
    public const string FileName = "run.lock";

    // errno EWOULDBLOCK of Linux and of macOS, and the Windows code for a file in use: what IOException.HResult carries.
    private static readonly int[] InUse = [11, 35, unchecked((int)0x80070020)];

    private readonly FileStream _file;

    /// <summary>Takes a folder that exists.</summary>
    /// <exception cref="InputException">Another process has it, or it cannot be written.</exception>
    public RunLock(string folder)
    {
        string path = Path.Combine(folder, FileName);
        try
        {
            _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (IOException exception) when (InUse.Contains(exception.HResult))
        {
            throw new InputException(
                $"The run in \"{folder}\" is being trained at this moment; wait until that ends, or name another folder with --output.",
                exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw AtomicFile.Unwritable(path, exception);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
