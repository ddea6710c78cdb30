using System.Text;
using System.Text.RegularExpressions;
using GatedFwa.Tokenizers;

namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>
/// A task of whole documents, each predicted from its beginning, a token once: perplexity a word and a byte, so that tokenizers do not
/// matter.
/// </summary>
/// <param name="name">Its name.</param>
/// <param name="description">What it asks.</param>
/// <param name="read">Makes a document of a line.</param>
/// <param name="prepare">What the model is given of a document; words and bytes are those of the document itself.</param>
internal sealed partial class WordPerplexity(string name, string description, Func<TaskLine, string> read, Func<string, string> prepare) :
    EvaluationTask(name, description, TaskSource.JsonLines)
{
    /// <summary>
    /// The parts of a document that are scored one by one, which together predict each token once. Where a document is longer than the
    /// model reads at once, a part begins with the last token of the one before, and the last part reaches as far back as it can.
    /// </summary>
    public static IEnumerable<TokenContinuation> Windows(ByteTokenizer tokenizer, string text, int? maxLength)
    {
        int[] tokens = [ByteTokenizer.Boundary, .. tokenizer.Encode(text)];
        int most = Math.Min(maxLength ?? tokens.Length, tokens.Length);
        for (int start = 1; start < tokens.Length; start += most)
            yield return new TokenContinuation(tokens.AsMemory(0, Math.Min(start + most, tokens.Length)), start).Truncate(maxLength);
    }

    /// <summary>Pieces between runs of white space, those before the first and after the last included: as the harness counts.</summary>
    public static int Words(string document) => Spaces().Count(document) + 1;

    private protected override PreparedTask Make(TaskOptions options)
    {
        IReadOnlyList<string> documents = JsonLines.Read(options.Files, read);
        return new PreparedTask(Name, documents.Count, subject => Figures(subject, documents));
    }

    private IEnumerable<TaskFigure> Figures(TaskSubject subject, IReadOnlyList<string> documents)
    {
        TokenContinuation[] windows =
            [.. documents.SelectMany(document => Windows(subject.Tokenizer, prepare(document), subject.MaxLength))];
        double nats = -subject.Score(windows).Sum(score => score.LogLikelihood);
        double perByte = nats / documents.Sum(document => (long)Encoding.UTF8.GetByteCount(document));
        return
        [
            new TaskFigure("word_perplexity", Math.Exp(nats / documents.Sum(document => (long)Words(document)))),
            new TaskFigure("byte_perplexity", Math.Exp(perByte)),
            new TaskFigure("bits_per_byte", perByte / Math.Log(2)),
        ];
    }

    [GeneratedRegex(PythonText.Space + "+")]
    private static partial Regex Spaces();
}
