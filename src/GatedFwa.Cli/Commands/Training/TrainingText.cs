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
    /// <exception cref="InputException">A name matches nothing, or is no text.</exception>
    public static DocumentSplit Read(IReadOnlyList<string> names, ulong seed)
    {
        bool given = names.Count > 0;
        if (!given) Console.Error.WriteLine("Reading the documentation of the installed .NET SDK.");
        IReadOnlyList<Document> documents = given ? TextFiles.Read(names) : SdkDocumentation.Read();
        DocumentSplit split = DocumentSplit.Of(documents, seed);
        Console.Error.WriteLine(
            $"Text: {Megabytes(split.Training.TextBytes)} to learn from, {Megabytes(split.Validation.TextBytes)} held out, " +
            $"{Words.Count(documents.Count, given ? "file" : "page")}.");
        return split;
    }

    private static string Megabytes(long bytes) => Words.Number(bytes / 1e6, bytes < 1e6 ? "F3" : "F1") + " MB";
}
