using System.Text;
using GatedFwa.Testing;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests.Data;

public sealed class TextFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Reads_a_file_as_one_document_without_its_byte_order_mark()
    {
        string path = _folder.Write("a.txt", [0xEF, 0xBB, 0xBF, .. "héllo"u8]);
        Document document = Assert.Single(TextFiles.Read([path]));
        Assert.Equal("héllo", Encoding.UTF8.GetString(document.Text.Span));
        Assert.Equal(path, document.Name);
    }

    [Fact]
    public void A_folder_stands_for_everything_below_it_but_hidden_files()
    {
        foreach (string file in new[] { "b.txt", "sub/a.md", "sub/deep/c.txt", ".hidden", ".git/config" }) _folder.Write(file, "text");
        Assert.Equal([_folder["b.txt"], _folder["sub/a.md"], _folder["sub/deep/c.txt"]], TextFiles.Find([_folder.Root]));
    }

    [Theory]
    [InlineData("*.txt", "b.txt")]
    [InlineData("**/*.txt", "b.txt", "sub/deep/c.txt")]
    [InlineData("sub/**", "sub/a.md", "sub/deep/c.txt")]
    [InlineData("s?b/*.md", "sub/a.md")]
    [InlineData("**/deep/*", "sub/deep/c.txt")]
    public void Patterns_find_files(string pattern, params string[] expected)
    {
        foreach (string file in new[] { "b.txt", "sub/a.md", "sub/deep/c.txt" }) _folder.Write(file, "text");
        Assert.Equal(expected.Select(file => _folder[file]), TextFiles.Find([_folder[pattern]]));
    }

    [Fact]
    public void A_file_named_twice_is_read_once()
    {
        string path = _folder.Write("a.txt", "text");
        Assert.Single(TextFiles.Read([path, _folder.Root, _folder["*.txt"], _folder["./a.txt"]]));
    }

    [Fact]
    public void Refuses_what_is_not_text_in_one_sentence_with_the_remedy()
    {
        AssertRefused("There is no file or folder", _folder["missing.txt"]);
        AssertRefused("matches no file", _folder["*.nothing"]);
        AssertRefused("matches no file", _folder["nowhere/*.txt"]);
        AssertRefused("is empty", _folder.Write("empty.txt", ""));
        AssertRefused("is empty", _folder.Write("mark.txt", [0xEF, 0xBB, 0xBF]));
        AssertRefused("is binary", _folder.Write("binary.bin", [1, 2, 0, 3]));
        AssertRefused("is not UTF-8", _folder.Write("latin.txt", [0x63, 0x61, 0x66, 0xE9]));
        AssertRefused("is not UTF-8", _folder.Write("cut.txt", [0x63, 0xC3]));
        Directory.CreateDirectory(_folder["hollow"]);
        AssertRefused("holds no file", _folder["hollow"]);
    }

    private static void AssertRefused(string reason, string name)
    {
        string message = Assert.Throws<InputException>(() => TextFiles.Read([name])).Message;
        Assert.Contains(reason, message, StringComparison.Ordinal);
        Assert.Contains($"\"{name}\"", message, StringComparison.Ordinal);
        Assert.EndsWith(".", message, StringComparison.Ordinal);
        Assert.Contains(';', message); // What is wrong; what to do.
    }
}
