using System.CommandLine;
using GatedFwa.Checkpoints;
using GatedFwa.Cli.Commands.Inspect;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Training.Data;
using GatedFwa.Training.Inspection;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa inspect</c>: a page that shows what a model remembers.</summary>
internal static class InspectCommand
{
    private const int DefaultLength = 512, GreatestLength = 2048;

    public static Command Create()
    {
        var model = new Argument<string>("model") { Description = "A model directory or a run." };
        var text = new Option<string>("--text")
        {
            Description = "The text to look at: a UTF-8 file. Gates and attention are shown on its beginning, gradients taken all over it.",
            HelpName = "FILE",
            Required = true,
        };
        var output = new Option<string>("--out")
        {
            Description = "The page to write: one file that needs no other.",
            HelpName = "FILE",
            DefaultValueFactory = _ => "inspect.html",
        };
        Option<int?> token = SharedOptions.Count(
            "--token", "The token that is chosen when the page opens, counted from 0.", "the last that is shown", least: 0);
        Option<int?> length = SharedOptions.Count(
            "--length", $"Bytes of the text that are shown, up to {GreatestLength}; the page grows with them.", $"{DefaultLength}", least: 2);
        Option<int?> context = SharedOptions.Count(
            "--context", "Bytes before each prediction whose gradients are taken.", $"{GradientProfile.DefaultContext}");
        var compare = new Option<string[]>("--compare")
        {
            Description = "Other models whose gradients are drawn beside: model directories or runs.",
            HelpName = "MODEL",
            AllowMultipleArgumentsPerToken = true,
        };
        Option<int?> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        var command = new Command(
            "inspect",
            "Writes a page that shows what a model remembers of a text: gates, attention with and without them, reach, gradients.")
        {
            model, text, output, token, length, context, compare, threads, device,
        };
        command.SetAction(result =>
        {
            SharedOptions.UseThreads(result.GetValue(threads));
            var request = new InspectionRequest(
                result.GetValue(model)!,
                result.GetValue(compare) ?? [],
                TextFiles.Read(result.GetValue(text)!),
                result.GetValue(length) ?? DefaultLength,
                result.GetValue(token),
                result.GetValue(context) ?? GradientProfile.DefaultContext,
                SharedOptions.ParseDevice(result.GetValue(device)!));
            if (request.Length > GreatestLength)
                throw new InputException($"--length {request.Length}: the page can show {GreatestLength} bytes; give at most that.");
            request.Validate();
            string path = result.GetValue(output)!;
            string page = InspectionPage.Write(Inspection.Run(request, Remark));
            AtomicFile.WriteText(path, page);
            Console.Out.WriteLine($"{path} holds the page ({Words.Bytes(new FileInfo(path).Length)}); open it in a browser.");
        });
        return command.WithExamples(
            ("What does it remember of this book?", "gatedfwa inspect runs/nano --text book.txt"),
            ("Gradients beside those of models trained with other attention:",
                "gatedfwa inspect runs/nano --text book.txt --compare runs/window runs/full"));
    }

    private static void Remark(string sentence) => Console.Error.WriteLine(sentence);
}
