using System.CommandLine;
using System.Diagnostics;
using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;
using GatedFwa.Training;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa evaluate</c>: how well a model predicts a text.</summary>
internal static class EvaluateCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("model") { Description = "A model directory or a run." };
        var texts = new Argument<string[]>("text")
        {
            Description = "Text to predict: UTF-8 files, folders and patterns.",
            Arity = ArgumentArity.OneOrMore,
        };
        Option<int?> context = SharedOptions.Positive(new Option<int?>("--context")
        {
            Description = "Tokens that pass through the model at once; for full attention also all it sees. " +
                $"[default: {Evaluator.DefaultContext}; for a run with full attention what it was trained with]",
            HelpName = "N",
        });
        Option<int?> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        Option<string?> type = SharedOptions.Activations();
        Option<bool> json = SharedOptions.Json();
        var command = new Command(
            "evaluate",
            "Measures how well a model predicts text: loss, bits per byte, perplexity. A window slides over long documents with its cache.")
        {
            model, texts, context, threads, device, type, json,
        };
        command.SetAction(result =>
        {
            SharedOptions.UseThreads(result.GetValue(threads));
            // The text first: it is quicker to find wrong than a large model.
            IReadOnlyList<Document> documents = TextFiles.Read(result.GetValue(texts)!);
            TokenStream text = TokenStream.Join([.. documents.Select(document => document.Text)]);
            string path = result.GetValue(model)!;
            Device place = SharedOptions.ParseDevice(result.GetValue(device)!);
            (LanguageModel loaded, ByteTokenizer _) = ModelDirectory.Load(path, place, SharedOptions.ParseType(result.GetValue(type), place));
            using (loaded)
            {
                long start = Stopwatch.GetTimestamp();
                int atOnce = result.GetValue(context) ?? DefaultContext(path, loaded.Config);
                EvaluationResult evaluation = Evaluator.Evaluate(loaded, text, atOnce);
                if (!double.IsFinite(evaluation.Nats))
                {
                    throw new InputException(
                        $"The model in '{path}' gave scores that are not numbers; its weights are damaged, use another checkpoint.");
                }

                Write(path, documents.Count, evaluation, Stopwatch.GetElapsedTime(start), result.GetValue(json));
            }
        });
        return command.WithExamples(
            ("How well does it know this book?", "gatedfwa evaluate runs/nano book.txt"),
            ("For a program:", "gatedfwa evaluate runs/nano 'texts/**/*.txt' --json"));
    }

    /// <summary>A model that looks back beyond a window is lost beyond the context it has learned, so that is what it is measured with.</summary>
    private static int DefaultContext(string path, ModelConfig config) =>
        !config.IsBounded && Trainer.HasRun(path) ? Trainer.ReadSettings(path).Options.Context : Evaluator.DefaultContext;

    private static void Write(string model, int documents, EvaluationResult evaluation, TimeSpan time, bool json)
    {
        if (json)
        {
            JsonOutput.Write(new
            {
                Model = model,
                Documents = documents,
                evaluation.Bytes,
                evaluation.Loss,
                evaluation.BitsPerByte,
                evaluation.Perplexity,
                Seconds = time.TotalSeconds,
            });
            return;
        }

        Facts.Print("text", $"{Words.Count(evaluation.Bytes)} bytes in {Words.Count(documents)} {(documents == 1 ? "file" : "files")}");
        Facts.Print("loss", $"{Words.Number(evaluation.Loss, "F4")} nats a byte");
        Facts.Print("bits per byte", Words.Number(evaluation.BitsPerByte, "F4"));
        Facts.Print("perplexity", $"{Words.Number(evaluation.Perplexity, "F3")} a byte");
        Facts.Print(
            "time",
            $"{Words.Number(time.TotalSeconds, "F1")} s, {Words.Count((long)(evaluation.Bytes / time.TotalSeconds))} bytes/s");
    }
}
