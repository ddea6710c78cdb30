using System.Reflection;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Cli;

/// <summary>Turns an exception into a sentence with a remedy and an exit code; a stack trace is shown to who asks for it.</summary>
internal static class Failure
{
    /// <summary>Set to 1 to see where an error came from.</summary>
    public const string TraceVariable = "GATEDFWA_TRACE";

    private const int NoSpaceLeft = 28; // ENOSPC
    private const int BrokenPipe = 32; // EPIPE
    private const int ReadOnlyFileSystem = 30; // EROFS
    private const int DiskFullWindows = unchecked((int)0x80070070);

    public static int Report(Exception exception, TextWriter error)
    {
        exception = Unwrap(exception);
        // Whoever read our output has seen enough: no reason to complain.
        if (IsBrokenPipe(exception)) return ExitCode.Success;
        string? sentence = Sentence(exception);
        error.WriteLine(sentence ?? Unforeseen(exception));
        if (Environment.GetEnvironmentVariable(TraceVariable) == "1") error.WriteLine(exception);
        return sentence is null ? ExitCode.Unexpected : ExitCode.BadInput;
    }

    public static bool IsBrokenPipe(Exception exception) => exception is IOException { HResult: BrokenPipe };

    private static string Unforeseen(Exception exception) =>
        $"An error nobody foresaw ({exception.GetType().Name}): {FirstLine(exception.Message)} " +
        $"Set {TraceVariable}=1 to see where it happened, and please report it.";

    /// <summary>The sentence of a mistake or a shortage that has a remedy; null for anything else.</summary>
    private static string? Sentence(Exception exception) => exception switch
    {
        InputException or OperandException or CudaException => FirstLine(exception.Message),
        FileNotFoundException or DirectoryNotFoundException => $"{FirstLine(exception.Message)} Check the path.",
        UnauthorizedAccessException => $"{FirstLine(exception.Message)} Choose a place that you may write to, or change its permissions.",
        IOException { HResult: NoSpaceLeft or DiskFullWindows } =>
            $"The disk is full: {FirstLine(exception.Message)} Free some space and run the same command again.",
        IOException { HResult: ReadOnlyFileSystem } => $"{FirstLine(exception.Message)} Choose a place that you may write to.",
        IOException => $"{FirstLine(exception.Message)} Check the path and the disk.",
        OutOfMemoryException => "There is not enough memory for this. Use a smaller batch, context or model (--batch, --context, --preset nano).",
        _ => null,
    };

    private static Exception Unwrap(Exception exception)
    {
        while (exception is AggregateException or TargetInvocationException or TypeInitializationException && exception.InnerException is { } inner)
            exception = inner;
        return exception;
    }

    /// <summary>The first line, closed by a full stop.</summary>
    private static string FirstLine(string message)
    {
        string line = message.ReplaceLineEndings("\n").Split('\n')[0].TrimEnd();
        return line is [.., '.' or '!' or '?'] ? line : line + ".";
    }
}
