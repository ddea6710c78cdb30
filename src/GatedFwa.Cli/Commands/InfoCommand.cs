using System.CommandLine;
using GatedFwa.Cli.Commands.Info;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa info</c>: what a file holds, or what this machine can do.</summary>
internal static class InfoCommand
{
    public static Command Create()
    {
        var path = new Argument<string?>("path")
        {
            Description = "A model directory, a run, or a safetensors file; without it, this machine.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var peak = new Option<bool>("--peak") { Description = "Also measure the machine: FMA peak and memory bandwidth (a second)." };
        Option<bool> json = SharedOptions.Json();
        var command = new Command("info", "Says what a model directory or safetensors file holds, or what this machine can do.") { path, peak, json };
        command.SetAction(result =>
        {
            bool asJson = result.GetValue(json);
            if (result.GetValue(path) is not { } given) MachineReport.Write(result.GetValue(peak), asJson);
            else if (Directory.Exists(given)) ModelReport.Write(given, asJson);
            else SafetensorsReport.Write(given, asJson);
        });
        return command.WithExamples(
            ("What this machine can do:", "gatedfwa info --peak"),
            ("What a trained model is made of:", "gatedfwa info runs/nano"));
    }
}
