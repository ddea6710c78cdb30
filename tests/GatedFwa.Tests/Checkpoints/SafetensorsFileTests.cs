using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Checkpoints;

public sealed class SafetensorsFileTests
{
    private const string Good = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}""";

    [Fact]
    public void A_header_in_any_order_and_padded_with_spaces_is_read()
    {
        const string Reordered = """{"b":{"data_offsets":[8,11],"shape":[3],"dtype":"U8"},"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   """;
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(Reordered, 11));
        Assert.Equal(["a", "b"], file.Entries.Select(entry => entry.Name));
        Assert.Equal("v", file.Metadata["k"]);
        Assert.Equal(3, file["b"].Bytes);
        Assert.Equal(8 + Reordered.Length + 11, file.FileBytes);
    }

    [Fact]
    public void A_scalar_and_tensors_without_elements_are_read()
    {
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(
            """{"none":{"dtype":"I64","shape":[0,5],"data_offsets":[0,0]},"one":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}""",
            [0, 0, 0x80, 0x3F]));
        Assert.Equal([1f], file.ReadFloats("one"));
        Assert.Empty(file.ReadIntegers("none"));
    }

    [Theory]
    [InlineData("", 0, "its header is not a JSON object")]
    [InlineData("{", 0, "its header is not valid JSON")]
    [InlineData(" {}", 0, "its header is not a JSON object")]
    [InlineData("[]", 0, "its header is not a JSON object")]
    [InlineData("{}x", 0, "its header is not valid JSON")]
    [InlineData("{}", 1, "1 bytes at its end belong to no tensor")]
    [InlineData("{\"a\":3}", 0, "\"a\" is not described by an object")]
    [InlineData("{\"a\":{}}", 0, "\"a\" has no dtype")]
    [InlineData("""{"a":{"dtype":"F32"}}""", 0, "\"a\" has no shape")]
    [InlineData("""{"a":{"dtype":"F32","shape":[]}}""", 0, "\"a\" has no data_offsets")]
    [InlineData("""{"a":{"dtype":"F33","shape":[],"data_offsets":[0,4]}}""", 4, "\"a\" has the unknown dtype \"F33\"")]
    [InlineData("""{"a":{"dtype":32,"shape":[],"data_offsets":[0,4]}}""", 4, "dtype that is not a string")]
    [InlineData("""{"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}""", 4, "\"a\" has two dtype")]
    [InlineData("""{"a":{"dtype":"F32","shape":[],"strides":[],"data_offsets":[0,4]}}""", 4, "unknown property \"strides\"")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "an extent that is not a whole number")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "an extent that is not a whole number")]
    [InlineData("""{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}""", 4, "an extent that is not a whole number")]
    [InlineData("""{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}""", 4, "an extent that is not a whole number")]
    [InlineData("""{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}""", 4, "a shape that is not a list")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}""", 4, "more than 16 axes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,4]}}""", 4, "cannot take 4 bytes")]
    [InlineData("""{"a":{"dtype":"F64","shape":[2147483647,1073741824],"data_offsets":[0,4]}}""", 4, "cannot take 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "\"a\" of shape [2] and type F32 cannot take 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "data_offsets that are not two whole numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", 4, "data_offsets that are not two whole numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}""", 4, "data_offsets that are not two whole numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}}""", 4, "data_offsets that are not two whole numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "ends at byte 0 before its start at 4")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 7, "ends at byte 8 of 7")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "\"a\" begins after a hole of 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", 6, "\"b\" overlaps the one before it")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "\"b\" overlaps the one before it")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "its header names \"a\" twice")]
    [InlineData("""{"__metadata__":{"a":1}}""", 0, "its metadata \"a\" is not a string")]
    [InlineData("""{"__metadata__":[]}""", 0, "its metadata is not an object")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", 0, "its metadata names \"a\" twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", 0, "names \"__metadata__\" twice")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "not valid Unicode")]
    [InlineData("""{"a":{"b":{"c":{"d":{"e":{}}}}}}""", 0, "unknown property \"b\"")]
    public void Each_damage_has_its_sentence(string header, int dataBytes, string part) =>
        Refused(SafetensorsBytes.Of(header, dataBytes), part);

    [Theory]
    [InlineData(long.MaxValue, "claims a header of 9223372036854775807 bytes")]
    [InlineData(-1, "claims a header of 18446744073709551615 bytes")]
    [InlineData(200, "claims a header of 200 bytes")]
    [InlineData(50, "its header is not valid JSON")]
    [InlineData(0, "its header is not a JSON object")]
    public void A_wrong_header_length_is_refused(long length, string part) => Refused(SafetensorsBytes.Of(Good, 11, length), part);

    [Fact]
    public void A_file_cut_anywhere_is_refused()
    {
        byte[] good = SafetensorsBytes.Of(Good, 11);
        SafetensorsBytes.Open(good).Dispose();
        for (int length = 0; length < good.Length; length++) Refused(good[..length], "it is damaged or not a safetensors file");
    }

    [Fact]
    public void Deep_nesting_is_refused_and_not_followed()
    {
        Refused(
            SafetensorsBytes.Of("{\"__metadata__\":" + string.Concat(Enumerable.Repeat("{\"a\":", 200_000)), 0),
            "metadata \"a\" is not a string");
        Refused(SafetensorsBytes.Of("{\"a\":{\"shape\":" + new string('[', 1_000_000), 0), "an extent");
        Refused(SafetensorsBytes.Of(new string('{', 1_000_000), 0), "not valid JSON");
    }

    [Fact]
    public void Garbage_takes_no_memory_beyond_its_size()
    {
        foreach (string garbage in (string[])["{\"a\":" + new string('n', 4_000_000), "{\"a\":{\"shape\":[" + new string('1', 4_000_000), "{\"a\":{\"shape\":[t" + new string('1', 4_000_000), new string('{', 4_000_000), "{\"" + new string('a', 4_000_000) + "\":{}}", "{\"a\":{\"" + new string('b', 4_000_000) + "\":1}}", "{\"a\":{\"dtype\":\"" + new string('F', 4_000_000) + "\"}}"])
        {
            byte[] bytes = SafetensorsBytes.Of(garbage, 0);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Throws<InputException>(() => SafetensorsBytes.Open(bytes));
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, bytes.Length + (64 * 1024));
        }
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("a b/c", "a b/c")]
    [InlineData("\\u0061\\u00e4\\u20AC", "aä€")]
    [InlineData("ä€😀", "ä€😀")]
    [InlineData("x\\ud83d\\uDE00y", "x😀y")]
    [InlineData("\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000", "\"\\/\b\f\n\r\t\0")]
    public void A_name_and_metadata_say_what_their_JSON_says(string json, string text)
    {
        string header = $$$"""{"__metadata__":{"{{{json}}}":"{{{json}}}{{{json}}}"},"{{{json}}}":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}""";
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(header, 1));
        Assert.Equal(new SafetensorsEntry(text, SafetensorsType.U8, [], 0, 1), Assert.Single(file.Entries));
        Assert.Equal(file.Entries[0], file[text]);
        Assert.Equal(new KeyValuePair<string, string>(text, text + text), Assert.Single(file.Metadata));
    }

    [Fact]
    public void A_name_is_the_same_however_it_is_escaped()
    {
        const string Entry = """{"dtype":"U8","shape":[],"data_offsets":[0,1]}""";
        Refused(SafetensorsBytes.Of($$"""{"ab":{{Entry}},"b":{{Entry}},"a\u0062":{{Entry}}}""", 1), "its header names \"ab\" twice");
        Refused(SafetensorsBytes.Of("""{"__metadata__":{"ab":"","b":"","\u0061b":""}}""", 0), "its metadata names \"ab\" twice");
        Refused(SafetensorsBytes.Of("""{"__metadata__":{},"__met\u0061data__":{}}""", 0), "its header names \"__metadata__\" twice");
    }

    [Theory]
    [InlineData("\\ud83d")]
    [InlineData("\\ud83dx")]
    [InlineData("\\ud83d\\n")]
    [InlineData("\\ud83d\\u0061")]
    [InlineData("\\ude00\\ud83d")]
    public void Half_a_surrogate_pair_is_refused(string json) =>
        Refused(SafetensorsBytes.Of($$$"""{"{{{json}}}":{}}""", 0), "not valid Unicode at byte 1");

    [Fact]
    public void Numbers_of_any_size_and_tensors_without_data_keep_their_place()
    {
        var header = new StringBuilder("{");
        var expected = new List<SafetensorsEntry>();
        long end = 0;
        foreach (int extent in (int[])[0, 1, 127, 128, 16_383, 0, 0, 16_384, 2_097_151, 2_097_152, int.MaxValue])
        {
            Shape shape = extent == int.MaxValue ? [extent, 0, extent] : [1, extent];
            expected.Add(new SafetensorsEntry($"t{expected.Count}", SafetensorsType.I8, shape, end, end += shape.Count));
            header.Append(CultureInfo.InvariantCulture, $"\"{expected[^1].Name}\":{{\"dtype\":\"I8\",\"shape\":{shape},\"data_offsets\":[{expected[^1].Start},{end}]}},");
        }

        header[^1] = '}';
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(header.ToString(), new byte[end]));
        Assert.Equal(expected, file.Entries);
        Assert.All(expected, entry => Assert.Equal(entry, file[entry.Name]));
        Assert.False(file.Contains("t"));
        Assert.False(file.Contains("t11"));
        Assert.False(file.Contains("zz"));
    }

    [Fact]
    public void Bytes_that_are_not_UTF8_are_refused() =>
        Refused(SafetensorsBytes.Of([.. "{\""u8, 0xFF, .. "\":{}}"u8], []), "not valid Unicode");

    [Fact]
    public void A_name_in_an_error_is_cut_and_cannot_upset_a_terminal()
    {
        string name = "\\u001b[2J" + new string('x', 5000);
        string message = Refused(SafetensorsBytes.Of("{\"" + name + "\":{}}", 0), "has no dtype");
        Assert.DoesNotContain('\u001b', message);
        Assert.InRange(message.Length, 1, 300);
    }

    [Fact]
    public void Half_precision_and_double_become_float32()
    {
        float[] values = [1.5f, -2, 0, 65504, float.PositiveInfinity];
        var data = new List<byte>();
        var number = new byte[8];
        foreach (float value in values)
        {
            BinaryPrimitives.WriteDoubleLittleEndian(number, value);
            data.AddRange(number);
        }

        foreach (float value in values)
        {
            BinaryPrimitives.WriteHalfLittleEndian(number, (Half)value);
            data.AddRange(number[..2]);
        }

        foreach (float value in values)
        {
            BinaryPrimitives.WriteSingleLittleEndian(number, value);
            data.AddRange(number[2..4]);
        }

        const string Header = """{"d":{"dtype":"F64","shape":[5],"data_offsets":[0,40]},"h":{"dtype":"F16","shape":[5],"data_offsets":[40,50]},"b":{"dtype":"BF16","shape":[5],"data_offsets":[50,60]}}""";
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(Header, [.. data]));
        Assert.Equal(values, file.ReadFloats("d"));
        Assert.Equal(values, file.ReadFloats("h"));
        Assert.Equal([1.5f, -2, 0, 65280, float.PositiveInfinity], file.ReadFloats("b"));
    }

    [Fact]
    public void Tensors_longer_than_the_reading_buffer_are_whole()
    {
        const int Count = 10_000;
        var data = new byte[10 * Count];
        for (int i = 0; i < Count; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(8 * i), i - 5);
            BinaryPrimitives.WriteHalfLittleEndian(data.AsSpan((8 * Count) + (2 * i)), (Half)(i % 1000));
        }

        string header = $$"""{"i":{"dtype":"I64","shape":[{{Count}}],"data_offsets":[0,{{8 * Count}}]},"h":{"dtype":"F16","shape":[{{Count}}],"data_offsets":[{{8 * Count}},{{10 * Count}}]} }""";
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(header, data));
        Assert.Equal(Enumerable.Range(-5, Count), file.ReadIntegers("i"));
        Assert.Equal(Enumerable.Range(0, Count).Select(i => (float)(i % 1000)), file.ReadFloats("h"));
    }

    [Fact]
    public void A_missing_tensor_and_a_wrong_type_or_size_name_the_tensor()
    {
        using SafetensorsFile file = SafetensorsBytes.Open(SafetensorsBytes.Of(
            """{"alpha":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"big":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}""",
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]));
        Assert.Contains(
            "\"bad.safetensors\" has no tensor \"alpah\" (did you mean \"alpha\"?)",
            Message(() => file.ReadFloats("alpah")),
            StringComparison.Ordinal);
        Assert.Contains(
            "\"alpha\" of \"bad.safetensors\" holds F32 where I32 or I64 is expected",
            Message(() => file.ReadIntegers("alpha")),
            StringComparison.Ordinal);
        Assert.Contains(
            "holds I64 where F32, F16, BF16 or F64 is expected",
            Message(() => file.ReadFloats("big")),
            StringComparison.Ordinal);
        Assert.Contains("does not fit 32 bits", Message(() => file.ReadIntegers("big")), StringComparison.Ordinal);
        Assert.Contains(
            "has 2 elements where 3 are expected",
            Assert.Throws<InputException>(() => file.ReadFloats("alpha", new float[3])).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_that_is_no_file_is_told_as_what_it_is()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder["empty"], []);
        File.WriteAllText(folder["text"], "Once upon a time there was a text file that someone took for a model.");
        Assert.Contains("There is no file", Message(() => SafetensorsFile.Open(folder["missing"])), StringComparison.Ordinal);
        Assert.Contains("is a folder", Message(() => SafetensorsFile.Open(folder.Root)), StringComparison.Ordinal);
        Assert.Contains("it has 0 bytes", Message(() => SafetensorsFile.Open(folder["empty"])), StringComparison.Ordinal);
        Assert.Contains("claims a header of", Message(() => SafetensorsFile.Open(folder["text"])), StringComparison.Ordinal);
    }

    [Fact]
    public void Reading_one_tensor_allocates_that_tensor_only()
    {
        using var folder = new TemporaryFolder();
        const int Count = 100_000;
        SafetensorsWriter.Write(
            folder["a"],
            [SafetensorsTensor.Floats("small", [Count], new float[Count]), SafetensorsTensor.Floats("large", [20 * Count], new float[20 * Count])]);
        using SafetensorsFile file = SafetensorsFile.Open(folder["a"]);
        file.ReadFloats("small");
        long before = GC.GetAllocatedBytesForCurrentThread();
        file.ReadFloats("small");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 4 * Count, (4 * Count) + 4096);
    }

    private static string Refused(byte[] bytes, string part)
    {
        string message = Message(() => SafetensorsBytes.Open(bytes));
        Assert.StartsWith("Cannot read \"bad.safetensors\": ", message, StringComparison.Ordinal);
        Assert.Contains(part, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private static string Message(Func<object> read) => Assert.Throws<InputException>(read).Message;
}
