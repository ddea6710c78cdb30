using System.Text;
using GatedFwa.Testing;

namespace GatedFwa.Cli.Tests;

/// <summary>Base of tests that run the command in a folder of their own.</summary>
public abstract class CommandTest : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>The current folder of every command of this test.</summary>
    protected string Folder => _folder.Root;

    public void Dispose()
    {
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }

    protected string InFolder(params string[] names) => Path.Combine([Folder, .. names]);

    protected CommandResult Run(params string[] arguments) => Cli.Run(Folder, [], arguments);

    protected CommandResult RunWithInput(string input, params string[] arguments) =>
        Cli.Run(Folder, Encoding.UTF8.GetBytes(input), arguments);

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
