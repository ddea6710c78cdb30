using System.Text;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests.Data;

public sealed class DocumentSplitTests
{
    [Fact]
    public void Whole_documents_are_held_out_and_none_is_lost_or_shared()
    {
        Document[] documents = [.. Enumerable.Range(0, 200).Select(i => Texts.Document($"document number {i} {new string('x', i % 7)}"))];
        DocumentSplit split = DocumentSplit.Of(documents, seed: 1);
        string[] training = Documents(split.Training), validation = Documents(split.Validation);
        Assert.Equal(documents.Select(Text).Order(), training.Concat(validation).Order());
        Assert.InRange(validation.Length, 5, 15);
        Assert.Equal(documents.Sum(document => document.Text.Length), split.Training.TextBytes + split.Validation.TextBytes);
    }

    [Fact]
    public void The_seed_alone_decides_whatever_the_order_of_the_documents()
    {
        Document[] documents = [.. Enumerable.Range(0, 100).Select(i => Texts.Document($"document {i}"))];
        string[] held = Documents(DocumentSplit.Of(documents, 7).Validation);
        Assert.Equal(held, Documents(DocumentSplit.Of(documents, 7).Validation));
        Assert.Equal(held.Order(), Documents(DocumentSplit.Of([.. documents.Reverse()], 7).Validation).Order());
        Assert.NotEqual(held.Order(), Documents(DocumentSplit.Of(documents, 8).Validation).Order());
    }

    [Fact]
    public void A_single_document_is_divided_at_its_tail_between_characters()
    {
        string text = string.Concat(Enumerable.Repeat("é", 1001));
        DocumentSplit split = DocumentSplit.Of([Texts.Document(text)], 0);
        string training = Assert.Single(Documents(split.Training)), validation = Assert.Single(Documents(split.Validation));
        Assert.Equal(text, training + validation);
        Assert.DoesNotContain('\uFFFD', training + validation);
        Assert.InRange(validation.Length, 45, 55);
    }

    [Fact]
    public void A_note_beside_a_book_is_not_all_that_a_model_is_measured_on()
    {
        Document book = Texts.Document(10_000, 0), note = Texts.Document("A short note.");
        DocumentSplit split = DocumentSplit.Of([note, book], 0);
        Assert.InRange(split.Validation.TextBytes / (double)book.Text.Length, 0.04, 0.06);
        Assert.Contains(Text(note), Documents(split.Training));
        Assert.EndsWith(Documents(split.Validation).Single(), Text(book), StringComparison.Ordinal);
    }

    [Fact]
    public void A_copy_of_what_is_held_out_is_not_learned_from()
    {
        Document[] twice = [Texts.Document(2000, 0), Texts.Document(2000, 0), Texts.Document(3000, 1), Texts.Document(3000, 1)];
        DocumentSplit split = DocumentSplit.Of(twice, 0);
        Assert.Equal(twice[0].Text.Length + twice[2].Text.Length, split.Training.TextBytes + split.Validation.TextBytes);
        Assert.DoesNotContain(Documents(split.Training), text => text.Contains(Documents(split.Validation).Single(), StringComparison.Ordinal));
    }

    [Fact]
    public void The_held_out_share_is_bounded_where_text_is_plenty()
    {
        Document[] documents = [.. Enumerable.Range(0, 100).Select(i => Texts.Document(20_000, (ulong)i))];
        DocumentSplit split = DocumentSplit.Of(documents, 0);
        Assert.InRange(split.Validation.TextBytes, 100_000, 165_000);
    }

    [Fact]
    public void One_byte_is_not_enough_to_learn_from_and_to_measure_on()
    {
        Assert.Contains(
            "give more text",
            Assert.Throws<InputException>(() => DocumentSplit.Of([Texts.Document("a")], 0)).Message,
            StringComparison.Ordinal);
        Assert.Contains("no text", Assert.Throws<InputException>(() => DocumentSplit.Of([], 0)).Message, StringComparison.Ordinal);
    }

    private static string Text(Document document) => Encoding.UTF8.GetString(document.Text.Span);

    private static string[] Documents(TokenStream stream) =>
        [.. Split(Texts.Tokens(stream)).Select(bytes => Encoding.UTF8.GetString(bytes))];

    private static IEnumerable<byte[]> Split(int[] tokens)
    {
        Assert.Equal(256, tokens[0]);
        var document = new List<byte>();
        foreach (int token in tokens.Skip(1))
        {
            if (token < 256)
            {
                document.Add((byte)token);
                continue;
            }

            yield return [.. document];
            document.Clear();
        }

        Assert.Empty(document); // The last token is a boundary.
    }
}
