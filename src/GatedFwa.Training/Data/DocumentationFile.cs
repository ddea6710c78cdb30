using System.Text;
using System.Xml;

namespace GatedFwa.Training.Data;

/// <summary>
/// Reduces an XML documentation file to readable pages, one a type: what it is, then each member with its parameters and result.
/// </summary>
internal static class DocumentationFile
{
    // Fewer letters than this are a bare heading, nothing to learn English from.
    private const int LeastCharacters = 40;

    private static readonly XmlReaderSettings Settings = new()
    {
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
        DtdProcessing = DtdProcessing.Prohibit,
        XmlResolver = null,
    };

    /// <summary>The pages of one file, in its order; a damaged file gives those before the damage.</summary>
    /// <param name="xml">The whole file.</param>
    public static List<Document> Read(byte[] xml)
    {
        var pages = new List<Document>();
        var page = new StringBuilder();
        string type = "";
        try
        {
            using var reader = XmlReader.Create(new MemoryStream(xml), Settings);
            while (reader.ReadToFollowing("member"))
            {
                string? identifier = reader.GetAttribute("name");
                if (identifier is null || reader.IsEmptyElement) continue;
                ReadOnlySpan<char> owner = MemberName.DeclaringType(identifier);
                if (!owner.SequenceEqual(type))
                {
                    Finish(pages, type, page);
                    type = owner.ToString();
                    page.Append(MemberName.FullType(type)).Append('\n');
                }

                AppendMember(page, reader, identifier);
            }
        }
        catch (XmlException)
        {
            // The file is text to learn from, not input of the user's: what could be read of it serves.
        }

        Finish(pages, type, page);
        return pages;
    }

    private static void Finish(List<Document> pages, string type, StringBuilder page)
    {
        if (page.Length >= LeastCharacters + type.Length) pages.Add(new Document(type, Encoding.UTF8.GetBytes(page.ToString())));
        page.Clear();
    }

    private static void AppendMember(StringBuilder page, XmlReader reader, string identifier)
    {
        int start = page.Length;
        bool isType = identifier.StartsWith("T:", StringComparison.Ordinal);
        if (!isType)
        {
            page.Append('\n');
            MemberName.AppendMember(page, identifier);
            page.Append('\n');
        }

        int headed = page.Length;
        int depth = reader.Depth;
        reader.Read();
        while (reader.Depth > depth)
        {
            if (reader.NodeType == XmlNodeType.Element && Label(reader) is { } label) AppendParagraph(page, reader, label);
            else reader.Skip();
        }

        // A member without a sentence (inherited documentation) leaves no trace.
        if (page.Length == headed) page.Length = start;
    }

    /// <summary>What a paragraph begins with; null for elements that are no prose about the member.</summary>
    private static string? Label(XmlReader reader) => reader.Name switch
    {
        "summary" or "remarks" => "",
        "param" or "typeparam" => reader.GetAttribute("name") + ": ",
        "returns" or "value" => "Returns: ",
        _ => null,
    };

    private static void AppendParagraph(StringBuilder page, XmlReader reader, string label)
    {
        int start = page.Length;
        page.Append(label);
        int worded = page.Length;
        int depth = reader.Depth;
        bool isEmpty = reader.IsEmptyElement;
        reader.Read();
        while (!isEmpty && reader.Depth > depth)
        {
            switch (reader.NodeType)
            {
                case XmlNodeType.Text or XmlNodeType.CDATA or XmlNodeType.Whitespace or XmlNodeType.SignificantWhitespace:
                    AppendCollapsed(page, reader.Value, worded);
                    break;
                case XmlNodeType.Element when reader.Name == "code":
                    reader.Skip();
                    continue;
                case XmlNodeType.Element:
                    AppendInline(page, reader, worded);
                    break;
            }

            reader.Read();
        }

        if (!isEmpty) reader.Read();
        while (page.Length > worded && page[^1] == ' ') page.Length--;
        if (page.Length == worded) page.Length = start;
        else page.Append('\n');
    }

    private static void AppendInline(StringBuilder page, XmlReader reader, int paragraph)
    {
        switch (reader.Name)
        {
            case "see" or "seealso" or "paramref" or "typeparamref" or "xref":
                if (!reader.IsEmptyElement) break; // Its own words follow.
                if (reader.GetAttribute("cref") is { } reference) MemberName.AppendReference(page, reference);
                else page.Append(reader.GetAttribute("langword") ?? reader.GetAttribute("name") ?? reader.GetAttribute("href"));
                break;
            case "para" or "item" or "description" or "p" or "li" or "br" or "listheader":
                AppendCollapsed(page, " ", paragraph);
                break;
        }
    }

    /// <summary>Appends text with every run of white space as one space, none at the start of a paragraph.</summary>
    private static void AppendCollapsed(StringBuilder page, string text, int paragraph)
    {
        bool gap = page.Length == paragraph || page[^1] == ' ';
        foreach (ReadOnlySpan<char> part in new WordRuns(text))
        {
            if (part.IsEmpty)
            {
                if (!gap) page.Append(' ');
                gap = true;
            }
            else
            {
                page.Append(part);
                gap = false;
            }
        }
    }

    /// <summary>Runs of letters, with an empty span for each run of white space between them.</summary>
    private ref struct WordRuns(string text)
    {
        private ReadOnlySpan<char> _rest = text;

        public ReadOnlySpan<char> Current { get; private set; }

        public readonly WordRuns GetEnumerator() => this;

        public bool MoveNext()
        {
            if (_rest.IsEmpty) return false;
            bool white = char.IsWhiteSpace(_rest[0]);
            int length = 1;
            while (length < _rest.Length && char.IsWhiteSpace(_rest[length]) == white) length++;
            Current = white ? default : _rest[..length];
            _rest = _rest[length..];
            return true;
        }
    }
}
