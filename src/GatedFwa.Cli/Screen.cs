using Spectre.Console;

namespace GatedFwa.Cli;

/// <summary>The two places text goes: results to stdout, everything else to stderr. Colour and motion only where a person looks.</summary>
internal static class Screen
{
    private const int WidthOfFiles = 120;

    /// <summary>Results.</summary>
    public static IAnsiConsole Results { get; } = Create(Console.Out, Console.IsOutputRedirected);

    /// <summary>Progress and remarks.</summary>
    public static IAnsiConsole Remarks { get; } = Create(Console.Error, Console.IsErrorRedirected);

    /// <summary>Whether remarks go to a person's terminal, which can show a line that changes.</summary>
    public static bool IsLive => !Console.IsErrorRedirected && Remarks.Profile.Capabilities.Ansi;

    /// <summary>An empty table for results, in the borders that they can show.</summary>
    public static Table NewTable() => new Table().Border(Results.Profile.Capabilities.Unicode ? TableBorder.Rounded : TableBorder.Ascii);

    private static IAnsiConsole Create(TextWriter writer, bool redirected)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = redirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
        });
        if (redirected) console.Profile.Width = WidthOfFiles;
        return console;
    }
}
