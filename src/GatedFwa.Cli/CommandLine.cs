using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;

namespace GatedFwa.Cli;

/// <summary>From arguments to an exit code: whatever goes wrong on the way becomes one sentence.</summary>
internal static class CommandLine
{
    // A prompt may begin with @: no argument is ever the name of a file with more arguments.
    private static readonly ParserConfiguration Parsing = new() { ResponseFileTokenReplacer = null };

    public static int Run(string[] args, Command root)
    {
        try
        {
            ParseResult result = root.Parse(args, Parsing);
            if (Misspelt(result) is { } flag) return ReportUsage(result, [$"Unrecognized flag '{flag}'."]);
            if (result.Action is ParseErrorAction) return ReportUsage(result, result.Errors.Select(error => InWords(error.Message)));
            return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (Exception exception)
        {
            return Failure.Report(exception, Console.Error);
        }
    }

    /// <summary>A flag that nobody knows and that a list of paths has therefore swallowed.</summary>
    private static string? Misspelt(ParseResult result)
    {
        if (result.Action is not { ClearsParseErrors: false } || result.Tokens.Any(token => token.Type == TokenType.DoubleDash))
            return null;
        IEnumerable<Token> paths = result.CommandResult.Children.SelectMany(child => child switch
        {
            ArgumentResult argument => argument.Tokens,
            OptionResult { Option.AllowMultipleArgumentsPerToken: true } option => option.Tokens,
            _ => [],
        });
        return paths.FirstOrDefault(token => token.Value.StartsWith("--", StringComparison.Ordinal))?.Value;
    }

    /// <summary>The library speaks of .NET's types; people know numbers.</summary>
    private static string InWords(string message)
    {
        int at = message.IndexOf(" as expected type '", StringComparison.Ordinal);
        if (at < 0) return message;
        bool whole = message.AsSpan(at).Contains("Int", StringComparison.Ordinal);
        return $"{message[..at]}: {(whole ? "a whole number" : "a number")} is expected.";
    }

    private static int ReportUsage(ParseResult result, IEnumerable<string> messages)
    {
        foreach (string message in messages.Distinct()) Console.Error.WriteLine(message);
        string path = string.Join(
            ' ',
            result.CommandResult.Command.Parents.OfType<Command>().Reverse().Append(result.CommandResult.Command).Select(command => command.Name));
        Console.Error.WriteLine($"'{path} --help' shows what it understands.");
        return ExitCode.Usage;
    }
}
