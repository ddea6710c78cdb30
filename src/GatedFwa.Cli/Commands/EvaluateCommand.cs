using System.CommandLine;
using GatedFwa.Checkpoints;
using GatedFwa.Cli.Commands.Evaluation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;
using GatedFwa.Training;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa evaluate</c>: how well a model predicts a text, or solves tasks.</summary>
internal static class EvaluateCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("model") { Description = "A model directory or a run." };
        var texts = new Argument<string[]>("text")
        {
            Description = "Text to predict: UTF-8 files, folders and patterns.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<int?> context = SharedOptions.Count(
            "--context",
            "Tokens that pass through the model at once; for full attention, and in tasks, also all it sees.",
            $"{Evaluator.DefaultContext}; for a run with full attention what it was trained with; in tasks no bound for a model with a " +
            "window");
        var tasks = new EvaluationTaskOptions();
        Option<int?> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        Option<string?> type = SharedOptions.Activations();
        Option<bool> json = SharedOptions.Json();
        var command = new Command(
            "evaluate",
            "Measures how well a model predicts text (loss, bits per byte, perplexity; a window slides over long documents with its " +
            "cache), or how well it solves tasks.")
        {
            model, texts, context, threads, device, type, json,
        };
        foreach (Option option in tasks.All) command.Options.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetValue(texts) is not { Length: > 0 } && !tasks.NamesTask(result))
                result.AddError("There is nothing to measure the model on; name text files, or a task with --task.");
        });
        command.SetAction(result =>
        {
            SharedOptions.UseThreads(result.GetValue(threads));
            // What it is measured on first: that is quicker to find wrong than a large model.
            string path = result.GetValue(model)!;
            string[] names = result.GetValue(texts)!;
            bool asJson = result.GetValue(json);
            Action<LanguageModel, int?> measure = tasks.Prepare(result, hasText: names.Length > 0) is { } prepared
                ? new TaskEvaluation(path, prepared, asJson).Run
                : new TextEvaluation(path, TextFiles.Read(names), asJson).Run;
            Device place = SharedOptions.ParseDevice(result.GetValue(device)!);
            DType? activations = SharedOptions.ParseType(result.GetValue(type), place);
            (LanguageModel loaded, ByteTokenizer _) = ModelDirectory.Load(path, place, activations);
            using (loaded) measure(loaded, result.GetValue(context) ?? LearnedContext(path, loaded.Config));
        });
        return command.WithExamples(
            ("How well does it know this book?", "gatedfwa evaluate runs/nano book.txt"),
            (
                "Does it find the last word of a passage, and the right answer?",
                "gatedfwa evaluate runs/nano --task lambada --file lambada.jsonl --task piqa --file piqa.jsonl"),
            ("Does it find a number again in 16,384 tokens?", "gatedfwa evaluate runs/nano --task passkey --length 16384"),
            ("For a program:", "gatedfwa evaluate runs/nano 'texts/**/*.txt' --json"));
    }

    /// <summary>A model that no window bounds is lost beyond the context it has learned: that is what it is measured with.</summary>
    private static int? LearnedContext(string path, ModelConfig config)
    {
        if (config.IsBounded) return null;
        return Trainer.HasRun(path) ? Trainer.ReadSettings(path).Options.Context : Evaluator.DefaultContext;
    }
}
