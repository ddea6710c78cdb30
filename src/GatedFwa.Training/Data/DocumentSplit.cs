using System.Buffers.Binary;
using System.Security.Cryptography;
using GatedFwa.Models;
using GatedFwa.Tokenizers;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Training.Data;

/// <summary>Documents divided into those a model learns from and those it is measured on.</summary>
/// <param name="Training">What the model learns from, in the order of the corpus.</param>
/// <param name="Validation">What it never sees while learning.</param>
public sealed record DocumentSplit(TokenStream Training, TokenStream Validation) : ITrainingData
{
    // A twentieth measures well where text is scarce; beyond this many bytes more of it only takes time.
    private const double Share = 0.05;
    private const long MostValidationBytes = 128 << 10;

    /// <summary>
    /// Holds out whole documents, drawn by a hash of seed and text, so that neither the order of files nor a file more or less
    /// moves the others. A text that occurs twice is taken once: a copy of what was learned from would measure nothing. Where the
    /// documents that are small enough do not make half of the share, the tail of the largest is held out instead.
    /// </summary>
    /// <param name="documents">The corpus.</param>
    /// <param name="seed">Draws the documents.</param>
    /// <exception cref="InputException">There is no text, or more than can be held.</exception>
    public static DocumentSplit Of(IReadOnlyList<Document> documents, ulong seed)
    {
        if (documents.Count == 0) throw new InputException("There is no text to learn from; name at least one text file.");
        (Document Document, ulong Key)[] unique =
            [.. documents.Select(document => (document, Draw(document, seed))).DistinctBy(drawn => drawn.Item2)];
        documents = [.. unique.Select(drawn => drawn.Document)];
        long wanted = Math.Min((long)(documents.Sum(document => (long)document.Text.Length) * Share), MostValidationBytes);
        var held = new HashSet<int>();
        long heldBytes = 0;
        foreach (int i in Enumerable.Range(0, documents.Count).OrderBy(i => unique[i].Key))
        {
            if (heldBytes >= wanted) break;
            if (heldBytes + documents[i].Text.Length > wanted * 5 / 4) continue;
            held.Add(i);
            heldBytes += documents[i].Text.Length;
        }

        return held.Count > 0 && heldBytes >= wanted / 2 ? ByDocument(documents, held) : ByTail(documents, wanted);
    }

    /// <summary>Names both texts: splits of equal text and division have equal fingerprints.</summary>
    public string Fingerprint() => $"{Training.Fingerprint()}+{Validation.Fingerprint()}";

    /// <inheritdoc/>
    public void Check(ModelConfig model, TrainerOptions options)
    {
        if (model.VocabularySize >= ByteTokenizer.VocabularySize) return;
        throw new InputException(
            $"The model's vocabulary_size is {model.VocabularySize} and bytes need {ByteTokenizer.VocabularySize}; set it to that.");
    }

    /// <inheritdoc/>
    public IBatchSource Batches(TrainerOptions options) => new WindowSampler(Training, options.Context, options.Seed);

    /// <inheritdoc/>
    public ValidationResult Measure(LanguageModel model, TrainerOptions options)
    {
        int context = model.Config.IsBounded ? Evaluator.DefaultContext : options.Context;
        EvaluationResult result = options.EvaluateByContext
            ? PositionLoss.Measure(model, Validation, options.Context, options.BatchSize).Total
            : Evaluator.Evaluate(model, Validation, context);
        return new ValidationResult(result.Loss, result.BitsPerByte);
    }

    /// <summary>What the order-3 byte model reaches on the validation split.</summary>
    public double? BaselineBitsPerByte() => new OrderThreeModel(Training).BitsPerByte(Validation);

    /// <summary>A text is never learned to the end.</summary>
    /// <param name="measurement">What the model has reached.</param>
    public bool IsSolved(ValidationResult measurement) => false;

    private static DocumentSplit ByDocument(IReadOnlyList<Document> documents, HashSet<int> held) => new(
        TokenStream.Join([.. documents.Where((_, i) => !held.Contains(i)).Select(document => document.Text)]),
        TokenStream.Join([.. documents.Where((_, i) => held.Contains(i)).Select(document => document.Text)]));

    private static DocumentSplit ByTail(IReadOnlyList<Document> documents, long tailBytes)
    {
        int divided = Enumerable.Range(0, documents.Count).MaxBy(i => documents[i].Text.Length);
        ReadOnlyMemory<byte> text = documents[divided].Text;
        int cut = text.Length - (int)Math.Clamp(tailBytes, 1, Math.Max(1, text.Length / 2));
        // Not inside a character: its continuation bytes are 10xxxxxx.
        while (cut > 0 && cut < text.Length && (text.Span[cut] & 0xC0) == 0x80) cut--;
        if (cut <= 0)
        {
            throw new InputException(
                $"The text \"{documents[divided].Name}\" is too short to learn from and to measure on; give more text.");
        }

        return new(
            TokenStream.Join([.. documents.Select((document, i) => i == divided ? text[..cut] : document.Text)]),
            TokenStream.Join([text[cut..]]));
    }

    private static ulong Draw(Document document, ulong seed)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> key = stackalloc byte[SHA256.HashSizeInBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(key, seed);
        hash.AppendData(key[..sizeof(ulong)]);
        hash.AppendData(document.Text.Span);
        hash.GetHashAndReset(key);
        return BinaryPrimitives.ReadUInt64LittleEndian(key);
    }
}
