using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using GatedFwa.Cli.Commands.Bench;

namespace GatedFwa.Cli.Commands;

/// <summary>The whole tree: one line a command.</summary>
internal static class RootCommandTree
{
    public static Command Create()
    {
        var help = new HelpOption { Recursive = true };
        var version = new Option<bool>("--version") { Description = "Show the version and the commit it was built from." };
        // A plain command: a RootCommand would take its name from the file it lies in.
        var root = new Command(
            "gatedfwa",
            "Trains, evaluates and runs GatedFWA language models: sliding-window attention with a learned decay (arXiv 2512.07782).")
        {
            help,
            version,
            TrainCommand.Create(),
            CompareCommand.Create(),
            GenerateCommand.Create(),
            EvaluateCommand.Create(),
            InspectCommand.Create(),
            InfoCommand.Create(),
            AttendCommand.Create(),
            BenchCommand.Create(),
        };
        root.SetAction(result =>
        {
            if (result.GetValue(version)) Console.Out.WriteLine(Machine.Current.VersionInWords);
            else ((SynchronousCommandLineAction)help.Action!).Invoke(result);
        });
        return root.WithExamples(
            ("Train a small model on the documentation of the .NET SDK:", "gatedfwa train"),
            ("Let it write:", "gatedfwa generate runs/nano --prompt \"Returns the\""));
    }
}
