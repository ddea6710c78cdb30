using System.Diagnostics;
using GatedFwa.Models;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Cli.Commands.Evaluation;

/// <summary>How well a model predicts documents.</summary>
/// <param name="name">What the user called the model.</param>
/// <param name="documents">The text.</param>
/// <param name="json">Whether a program reads the result.</param>
internal sealed class TextEvaluation(string name, IReadOnlyList<Document> documents, bool json)
{
    /// <summary>Measures and prints.</summary>
    /// <param name="model">The model.</param>
    /// <param name="context">Tokens at once; the evaluator's own number unless given.</param>
    public void Run(LanguageModel model, int? context)
    {
        long start = Stopwatch.GetTimestamp();
        TokenStream text = TokenStream.Join([.. documents.Select(document => document.Text)]);
        EvaluationResult evaluation = Evaluator.Evaluate(model, text, context ?? Evaluator.DefaultContext);
        if (!double.IsFinite(evaluation.Nats))
        {
            throw new InputException(
                $"The model in '{name}' gave scores that are not numbers; its weights are damaged, use another checkpoint.");
        }

        TimeSpan time = Stopwatch.GetElapsedTime(start);
        if (json)
        {
            JsonOutput.Write(new
            {
                Model = name,
                Documents = documents.Count,
                evaluation.Bytes,
                evaluation.Loss,
                evaluation.BitsPerByte,
                evaluation.Perplexity,
                Seconds = time.TotalSeconds,
            });
            return;
        }

        Facts.Print("text", $"{Words.Count(evaluation.Bytes, "byte")} in {Words.Count(documents.Count, "file")}");
        Facts.Print("loss", $"{Words.Number(evaluation.Loss, "F4")} nats a byte");
        Facts.Print("bits per byte", Words.Number(evaluation.BitsPerByte, "F4"));
        Facts.Print("perplexity", $"{Words.Number(evaluation.Perplexity, "F3")} a byte");
        Facts.Print(
            "time",
            $"{Words.Number(time.TotalSeconds, "F1")} s, {Words.Count((long)(evaluation.Bytes / time.TotalSeconds))} bytes/s");
    }
}
