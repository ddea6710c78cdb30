using System.Text;
using GatedFwa.Testing;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests.Data;

public sealed class SdkDocumentationTests
{
    private const string Xml = """
        <?xml version="1.0"?>
        <doc><assembly><name>Sample</name></assembly><members>
          <member name="T:Sample.Box`1">
            <summary>Holds   a <see cref="T:System.String"/>,
              never <see langword="null" />.</summary>
            <typeparam name="T">What it holds.</typeparam>
          </member>
          <member name="M:Sample.Box`1.#ctor(`0,System.Collections.Generic.List{System.Int32})">
            <summary>Makes one.</summary>
            <param name="value">The <paramref name="value"/>; see <see cref="M:Sample.Box`1.Open">Open</see>.</param>
            <param name="unused"></param>
            <exception cref="T:System.Exception">Left out.</exception>
          </member>
          <member name="M:Sample.Box`1.Open"><summary><para>Opens it.</para><para>At once.</para><code>left.Out();</code></summary><returns>A &lt;thing&gt;.</returns></member>
          <member name="M:Sample.Box`1.Inherited"><inheritdoc/></member>
          <member name="T:Sample.Empty"/>
        </members></doc>
        """;

    private const string Page = """
        Sample.Box<T>
        Holds a String, never null.
        T: What it holds.

        Box<T>(T, List<Int32>)
        Makes one.
        value: The value; see Open.

        Open
        Opens it. At once.
        Returns: A <thing>.

        """;

    [Fact]
    public void A_type_becomes_a_readable_page() =>
        Assert.Equal(Page.ReplaceLineEndings("\n"), Text(Assert.Single(DocumentationFile.Read(Encoding.UTF8.GetBytes(Xml)))));

    [Fact]
    public void A_damaged_file_gives_the_pages_before_the_damage() =>
        Assert.StartsWith(
            "Sample.Box<T>",
            Text(Assert.Single(DocumentationFile.Read(Encoding.UTF8.GetBytes(Xml[..^200])))),
            StringComparison.Ordinal);

    [Fact]
    public void A_page_that_several_files_repeat_counts_once()
    {
        using var folder = new TemporaryFolder();
        string[] files = [folder.Write("a.xml", Xml), folder.Write("b.xml", Xml), folder.Write("c.xml", Xml.Replace("Sample</name>", "Other</name>", StringComparison.Ordinal))];
        Assert.Single(SdkDocumentation.Read(files));
    }

    [Fact]
    public void Of_each_pack_the_newest_version_is_read()
    {
        using var folder = new TemporaryFolder();
        foreach (string version in new[] { "9.0.11", "10.0.0-rc.2", "10.0.0" }) folder.Write($"Base.Ref/{version}/ref/net/a.xml", Xml);
        folder.Write("Web.Ref/9.0.2/ref/net/b.xml", Xml);
        folder.Write("Web.Ref/9.0.2/data/c.xml", Xml);
        Assert.Equal([folder["Base.Ref/10.0.0/ref/net/a.xml"], folder["Web.Ref/9.0.2/ref/net/b.xml"]], SdkDocumentation.FindFiles(folder.Root));
    }

    [Fact]
    public void The_installed_sdk_gives_megabytes_of_clean_text()
    {
        Assert.SkipWhen(SdkDocumentation.FindFiles().Count == 0, "No SDK with reference packs is installed here.");
        IReadOnlyList<Document> pages = SdkDocumentation.Read();
        Assert.InRange(pages.Sum(page => page.Text.Length), 2_000_000, 200_000_000);
        Assert.DoesNotContain(pages, page => page.Text.Span.IndexOfAny("<see "u8) >= 0 && page.Text.Span.IndexOf("<see cref"u8) >= 0);
        Assert.DoesNotContain(pages, page => page.Text.Span.IndexOf("  "u8) >= 0);
        Document list = pages.First(page => page.Name == "System.Collections.Generic.List`1");
        Assert.Contains("\nAdd(T)\nAdds an object to the end of the List<T>.\n", Text(list), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("M:System.String.Join``1(System.Char,``0[])", "System.String", "Join<T>(Char, T[])")]
    [InlineData("M:A.B.#ctor", "A.B", "B")]
    [InlineData("M:A.B.System#IDisposable#Dispose", "A.B", "Dispose")]
    [InlineData("P:A.Map`2.Item(`0,`1@)", "A.Map`2", "Item(T1, T2)")]
    [InlineData("F:A.B.Max", "A.B", "Max")]
    [InlineData("M:Global", "", "Global")]
    public void Identifiers_read_as_a_person_would_write_them(string identifier, string type, string member)
    {
        var text = new StringBuilder();
        MemberName.AppendMember(text, identifier);
        Assert.Equal(member, text.ToString());
        Assert.Equal(type, MemberName.DeclaringType(identifier).ToString());
    }

    [Theory]
    [InlineData("T:System.Collections.Generic.Dictionary`2", "Dictionary<T1, T2>")]
    [InlineData("F:System.Int32.MaxValue", "Int32.MaxValue")]
    [InlineData("M:System.Uri.#ctor(System.String)", "Uri")]
    [InlineData("Plain", "Plain")]
    [InlineData("!:", "")]
    public void References_read_as_a_person_would_write_them(string identifier, string expected)
    {
        var text = new StringBuilder();
        MemberName.AppendReference(text, identifier);
        Assert.Equal(expected, text.ToString());
    }

    private static string Text(Document page) => Encoding.UTF8.GetString(page.Text.Span);
}
