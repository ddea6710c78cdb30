using GatedFwa.Training.Data;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>The text that is learned from.</summary>
internal static class TrainingText
{
    public const string Description =
        "Text to learn from: UTF-8 files, folders and patterns such as 'books/**/*.txt'. " +
        "[default: the XML documentation of the installed .NET SDK]";

    /// <summary>Reads it and says how much there is.</summary>
    /// <param name="names">Files, folders and patterns; none for the SDK's documentation.</param>
    /// <param name="seed">Draws what is held out.</param>
    /// <param name="meanwhile">What else there is to do, on this thread; where it fails nothing is said of the text.</param>
    /// <exception cref="InputException">A name matches nothing, or is no text.</exception>
    public static DocumentSplit Read(IReadOnlyList<string> names, ulong seed, Action? meanwhile = null)
    {
        bool given = names.Count > 0;
        var reading = Task.Run(() =>
        {
            IReadOnlyList<Document> read = given ? TextFiles.Read(names) : SdkDocumentation.Read();
            return (Documents: read, Split: DocumentSplit.Of(read, seed));
        });
        meanwhile?.Invoke();
        if (!given) Console.Error.WriteLine("Reading the documentation of the installed .NET SDK.");
        (IReadOnlyList<Document> documents, DocumentSplit split) = reading.GetAwaiter().GetResult();
        Console.Error.WriteLine(
            $"Text: {Megabytes(split.Training.TextBytes)} to learn from, {Megabytes(split.Validation.TextBytes)} held out, " +
            $"{Words.Count(documents.Count, given ? "file" : "page")}.");
        return split;
    }

    private static string Megabytes(long bytes) => Words.Number(bytes / 1e6, bytes < 1e6 ? "F3" : "F1") + " MB";
}
