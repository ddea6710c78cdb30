using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tokenizers;
using GatedFwa.Training;
using Spectre.Console;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>What a finished run has to show.</summary>
internal static class TrainingSummary
{
    private const int SampleTokens = 320, SampleWidth = 76;

    public static void Write(LanguageModel model, TrainingResult result, string output, bool json)
    {
        if (json)
        {
            JsonOutput.Write(new
            {
                Run = output,
                Attention = ModelWords.Attention(model.Config),
                result.Validation?.Loss,
                result.ValidationBitsPerByte,
                result.BaselineBitsPerByte,
                result.Step,
                result.Steps,
                Seconds = result.Elapsed.TotalSeconds,
            });
            return;
        }

        TextWriter text = Console.Out;
        text.WriteLine($"Trained {Words.Count(result.Steps)} steps in {Words.Duration(result.Elapsed)}. What the model writes by itself:");
        text.WriteLine();
        foreach (string line in Words.Wrap(Sample(model), SampleWidth)) text.WriteLine($"  {line}".TrimEnd());
        text.WriteLine();
        if (result is { ValidationBitsPerByte: { } bits, BaselineBitsPerByte: { } baseline })
            Screen.Results.Write(Comparison(bits, baseline));
        text.WriteLine();
        text.WriteLine($"{output} holds the model, metrics.jsonl and loss.svg. Next:");
        text.WriteLine($"  {Invocation.Name} generate {output} --prompt \"Returns the\"");
        text.WriteLine($"  {Invocation.Name} evaluate {output} FILE");
    }

    private static string Sample(LanguageModel model)
    {
        var options = new GenerationOptions
        {
            MaxTokens = SampleTokens,
            StopAtBoundary = false,
            Sampling = new SamplingOptions { Temperature = 0.7f, Seed = 1 },
        };
        return Words.Printable(string.Concat(new Generator(model, new ByteTokenizer()).Generate("", options)));
    }

    private static Table Comparison(double model, double baseline)
    {
        Table table = Screen.NewTable();
        table.AddColumn("on text held out").AddColumn(new TableColumn("bits per byte").RightAligned());
        table.AddRow(new Text("this model"), new Text(Words.Number(model, "F3"), new Style(decoration: Decoration.Bold)));
        table.AddRow("order-3 byte model", Words.Number(baseline, "F3"));
        return table;
    }
}
