using System.Diagnostics;
using System.Text;

namespace GatedFwa.Cli.Tests;

/// <summary>What a command printed and how it ended.</summary>
public sealed record CommandResult(int ExitCode, string Output, string Error);

/// <summary>Base of tests that run the real executable in a folder of their own.</summary>
public abstract class CommandTest : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private static string Executable { get; } = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "GatedFwa.Cli.exe" : "GatedFwa.Cli");

    protected CommandTest() => Directory.CreateDirectory(Folder);

    /// <summary>The current folder of every command of this test.</summary>
    protected string Folder { get; } = Path.Combine(Path.GetTempPath(), $"gatedfwa-cli-{Guid.NewGuid():N}");

    public void Dispose()
    {
        Directory.Delete(Folder, recursive: true);
        GC.SuppressFinalize(this);
    }

    protected string InFolder(string name) => Path.Combine(Folder, name);

    protected CommandResult Run(params string[] arguments) => RunWithInput("", arguments);

    protected CommandResult RunWithInput(string input, params string[] arguments)
    {
        using Process process = Start(arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        try
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // A command that does not read its input may have ended already.
        }

        return Finish(process, output, error);
    }

    /// <summary>Starts a command; the caller ends it.</summary>
    protected Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Executable, arguments)
        {
            WorkingDirectory = Folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        start.Environment.Remove("GATEDFWA_TRACE");
        return Process.Start(start)!;
    }

    protected static CommandResult Finish(Process process, Task<string> output, Task<string> error)
    {
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            Assert.Fail($"The command hung. It had printed: {output.Result}{error.Result}");
        }

        process.WaitForExit();
        var result = new CommandResult(process.ExitCode, output.Result, error.Result);
        Assert.DoesNotContain("   at ", result.Output + result.Error);
        Assert.DoesNotContain("Unhandled exception", result.Error);
        return result;
    }

    /// <summary>The command succeeded; gives what it printed.</summary>
    protected static string Succeeded(CommandResult result)
    {
        Assert.True(result.ExitCode == 0, $"Exit code {result.ExitCode}: {result.Error}");
        return result.Output;
    }

    /// <summary>The command refused with exit code 1, nothing on stdout and one sentence that holds these words.</summary>
    protected static void RefusedWithOneSentence(CommandResult result, params string[] words)
    {
        Assert.True(result.ExitCode == 1, $"Exit code {result.ExitCode}: {result.Error}");
        Assert.Equal("", result.Output);
        string line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.True(line.TrimEnd()[^1] is '.' or '!' or '?', $"Not a sentence: {line}");
        foreach (string word in words) Assert.Contains(word, line, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The command line itself was refused: exit code 2, a pointer to the help.</summary>
    protected static void RefusedAsUsage(CommandResult result, params string[] words)
    {
        Assert.Equal(2, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.Contains("--help", result.Error);
        foreach (string word in words) Assert.Contains(word, result.Error);
    }
}
