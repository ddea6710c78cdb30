using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Checkpoints;

public sealed class StrictJsonTests
{
    private static readonly Settings Sample = new()
    {
        Width = 384,
        Window = null,
        NormEpsilon = 1e-5f,
        Note = "ü <b>",
        Parts = [new Part { Size = 3 }],
    };

    [Fact]
    public void Settings_come_back_and_their_keys_are_snake_case()
    {
        string json = StrictJson.Write(Sample);
        Settings read = StrictJson.Parse<Settings>(json, "config.json");
        Assert.Equal((384, null, 1e-5f, "ü <b>", 3), (read.Width, read.Window, read.NormEpsilon, read.Note, read.Parts.Single().Size));
        Assert.Contains("\"norm_epsilon\": 1E-05", json, StringComparison.Ordinal);
        Assert.DoesNotContain("doubled", json, StringComparison.Ordinal);
        Assert.EndsWith("}\n", json, StringComparison.Ordinal);
    }

    [Fact]
    public void A_byte_order_mark_is_no_mistake() =>
        Assert.Equal(8, StrictJson.Parse<Settings>("\uFEFF{\"width\": 8}", "config.json").Width);

    [Theory]
    [InlineData("""{"width": 8, "windw": 3}""", "\"config.json\" has the unknown key \"windw\" (did you mean \"window\"?); correct or remove it.")]
    [InlineData("""{"width": 8, "Window": 3}""", "unknown key \"Window\" (did you mean \"window\"?)")]
    [InlineData("""{"width": 8, "colour": 3}""", "\"config.json\" has the unknown key \"colour\"; correct")]
    [InlineData("""{"width": 8, "doubled": 3}""", "unknown key \"doubled\"")]
    [InlineData("""{"width": 8, "parts": [{"size": 1}, {"siz": 3}]}""", "unknown key \"parts[1].siz\" (did you mean \"size\"?)")]
    [InlineData("""{"window": 3}""", "lacks the key \"width\"; add it")]
    [InlineData("""{"width": 8, "width": 9}""", "is not valid JSON")]
    [InlineData("""{"width": "8"}""", "The key \"width\" of \"config.json\" is the text \"8\" where a whole number is expected")]
    [InlineData("""{"width": 8.5}""", "is 8.5 where a whole number")]
    [InlineData("""{"width": 8e99}""", "is 8e99 where a whole number")]
    [InlineData("""{"width": null}""", "is null where a whole number")]
    [InlineData("""{"width": 8, "note": null}""", "The key \"note\" of \"config.json\" is null where a text")]
    [InlineData("""{"width": 8, "norm_epsilon": 1e99}""", "is 1e99 where a number")]
    [InlineData("""{"width": 8, "norm_epsilon": NaN}""", "is not valid JSON in line 1")]
    [InlineData("""{"width": 8, "gate": 1}""", "is 1 where true or false")]
    [InlineData("""{"width": 8, "parts": {}}""", "is an object where a list")]
    [InlineData("""{"width": 8, "parts": [3]}""", "The key \"parts[0]\" of \"config.json\" is 3 where an object")]
    [InlineData("[]", "\"config.json\" is a list where an object")]
    [InlineData("", "is not valid JSON")]
    [InlineData("{\"width\": 8} // eight", "is not valid JSON")]
    [InlineData("{\"width\": 8,}", "is not valid JSON")]
    [InlineData("{\n\"width\": eight}", "is not valid JSON in line 2: \"eight}\" is no value; correct it.")]
    [InlineData("{\n\"width\": 8\n\"gate\": true}", "is not valid JSON in line 3")]
    [InlineData("{\"width\": 8, \"note\": \"\\ud800\"}", "not valid Unicode")]
    [InlineData("{\"width\": 8, \"\\ud800\": 3}", "not valid Unicode")]
    public void Each_mistake_has_its_sentence(string json, string part)
    {
        string message = Assert.Throws<InputException>(() => StrictJson.Parse<Settings>(json, "config.json")).Message;
        Assert.Contains(part, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void Deep_nesting_and_bytes_that_are_not_text_are_refused()
    {
        Assert.Throws<InputException>(() => StrictJson.Parse<Settings>(new string('[', 500_000), "config.json"));
        Assert.Throws<InputException>(() => StrictJson.Parse<Settings>("{\"parts\":" + new string('[', 500_000), "config.json"));
        Assert.Throws<InputException>(() => StrictJson.Parse<Settings>((byte[])[(byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)':', (byte)'1', (byte)'}'], "config.json"));
        Assert.Throws<InputException>(() => StrictJson.Parse<Settings>(new byte[10_000], "config.json"));
    }

    [Fact]
    public void A_file_too_large_for_settings_is_not_even_read()
    {
        using var folder = new TemporaryFolder();
        using (FileStream stream = File.Create(folder["config.json"])) stream.SetLength(3L << 30);
        long before = GC.GetAllocatedBytesForCurrentThread();
        string message = Assert.Throws<InputException>(() => StrictJson.Read<Settings>(folder["config.json"])).Message;
        Assert.Contains("has 3221225472 bytes where at most 1048576 make sense", message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void The_type_of_an_unknown_file_can_be_asked_for()
    {
        Assert.Equal("bpe", StrictJson.Text(Encoding.UTF8.GetBytes("""{"type": "bpe", "x": [1]}"""), "t.json", "type"));
        Assert.Null(StrictJson.Text(Encoding.UTF8.GetBytes("""{"type": 3}"""), "t.json", "type"));
    }

    private sealed record Settings
    {
        public required int Width { get; init; }

        public int? Window { get; init; } = 64;

        public bool Gate { get; init; } = true;

        public float NormEpsilon { get; init; } = 1e-6f;

        public string Note { get; init; } = "";

        public IReadOnlyList<Part> Parts { get; init; } = [];

        public int Doubled => 2 * Width;
    }

    private sealed record Part
    {
        public int Size { get; init; }
    }
}
