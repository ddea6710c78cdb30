using Microsoft.Win32.SafeHandles;

namespace GatedFwa.Cli;

/// <summary>Standard output as bytes.</summary>
internal static class ResultStream
{
    private const int StandardOutput = 1;

    /// <summary>
    /// Into a pipe the stream throws once the reader has gone, where the console's own stream would swallow everything for ever:
    /// <c>gatedfwa generate … | head -1</c> must end.
    /// </summary>
    public static Stream Open()
    {
        if (OperatingSystem.IsWindows() || !Console.IsOutputRedirected) return Console.OpenStandardOutput();
        var stream = new FileStream(new SafeFileHandle(StandardOutput, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        // A file's stream keeps a position of its own, which would be wrong where a shell appends.
        return stream.CanSeek ? Console.OpenStandardOutput() : stream;
    }
}
