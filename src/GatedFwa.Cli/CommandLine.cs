using System.CommandLine;
using System.CommandLine.Invocation;

namespace GatedFwa.Cli;

/// <summary>From arguments to an exit code: whatever goes wrong on the way becomes one sentence.</summary>
internal static class CommandLine
{
    // A prompt may begin with @: no argument is ever the name of a file with more arguments.
    private static readonly ParserConfiguration Parsing = new() { ResponseFileTokenReplacer = null };

    public static int Run(string[] args, Command root)
    {
        ParseResult result = root.Parse(args, Parsing);
        if (result.Action is ParseErrorAction) return ReportUsage(result);
        try
        {
            return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (Exception exception)
        {
            return Failure.Report(exception, Console.Error);
        }
    }

    private static int ReportUsage(ParseResult result)
    {
        foreach (string message in result.Errors.Select(error => error.Message).Distinct()) Console.Error.WriteLine(message);
        string path = string.Join(' ', result.CommandResult.Command.Parents.OfType<Command>().Reverse().Append(result.CommandResult.Command).Select(command => command.Name));
        Console.Error.WriteLine($"'{path} --help' shows what it understands.");
        return ExitCode.Usage;
    }
}
