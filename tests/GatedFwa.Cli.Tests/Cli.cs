using System.Diagnostics;
using System.Text;

namespace GatedFwa.Cli.Tests;

/// <summary>What a command printed and how it ended.</summary>
public sealed record CommandResult(int ExitCode, string Output, string Error);

/// <summary>Runs the real executable, which the build lays beside these tests.</summary>
internal static class Cli
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private static readonly string Executable = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "GatedFwa.Cli.exe" : "GatedFwa.Cli");

    /// <summary>Runs a command to its end.</summary>
    /// <param name="folder">Its current folder.</param>
    /// <param name="input">What comes on its standard input.</param>
    /// <param name="arguments">Its arguments.</param>
    public static CommandResult Run(string folder, byte[] input, params string[] arguments)
    {
        using Process process = Start(folder, arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        try
        {
            process.StandardInput.BaseStream.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // A command that does not read its input may have ended already.
        }

        return Finish(process, output, error);
    }

    /// <summary>Starts a command; the caller finishes it.</summary>
    public static Process Start(string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo(Executable, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        start.Environment.Remove("GATEDFWA_TRACE");
        return Process.Start(start)!;
    }

    /// <summary>Waits for the end of a command. Whatever it did, it showed no stack trace.</summary>
    public static CommandResult Finish(Process process, Task<string> output, Task<string> error)
    {
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            Assert.Fail($"The command hung. It had printed: {output.Result}{error.Result}");
        }

        var result = new CommandResult(process.ExitCode, output.Result, error.Result);
        Assert.DoesNotContain("   at ", result.Output + result.Error);
        Assert.DoesNotContain("Unhandled exception", result.Error);
        return result;
    }
}
