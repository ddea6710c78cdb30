using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace GatedFwa.Cli.Commands;

/// <summary>Help that ends with examples to copy.</summary>
internal static class HelpExamples
{
    /// <summary>Gives a command examples: what it does, then the line to type.</summary>
    public static T WithExamples<T>(this T command, params (string Purpose, string Line)[] examples)
        where T : Command
    {
        if (command.Options.OfType<HelpOption>().FirstOrDefault() is not { } help) command.Options.Add(help = new HelpOption());
        help.Action = new Action((HelpAction)help.Action!, examples);
        return command;
    }

    private sealed class Action(HelpAction plain, (string Purpose, string Line)[] examples) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int code = plain.Invoke(parseResult);
            TextWriter output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach ((string purpose, string line) in examples)
            {
                output.WriteLine($"  {purpose}");
                output.WriteLine($"    {line}");
            }

            return code;
        }
    }
}
