using System.Diagnostics;
using System.Globalization;
using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Checkpoints.Fuzz;

/// <summary>A damaged file is read or refused: it never crashes, hangs, or takes memory beyond its own size.</summary>
public sealed class SafetensorsFuzzTests
{
    private const int Cases = 24_000;
    private const ulong Seed = 20251207;

    // Exceptions, their sentences and stack, and the reader's own objects.
    private const int OpeningAllowanceBytes = 64 * 1024;
    private const int ReadingAllowanceBytes = 16 * 1024;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    [Fact]
    public void Every_mutated_file_is_read_or_refused_with_one_sentence()
    {
        byte[][] files = [Written(), Foreign()];
        foreach (byte[] file in files) Assert.Null(Outcome(file));

        int readable = 0;
        var complaints = new HashSet<string>();
        for (int number = 0; number < Cases; number++)
        {
            byte[] file = new Mutator(Seed, number).DamageSafetensors(files);
            long start = Stopwatch.GetTimestamp();
            string? message = Outcome(file);
            Assert.True(Stopwatch.GetElapsedTime(start) < Limit, $"Case {number} took {Stopwatch.GetElapsedTime(start)}.");
            if (message is null) readable++;
            else complaints.Add(Kind(message));
            Assert.DoesNotContain('\n', message ?? "");
        }

        // The damage must reach every check, and some must be harmless (a name, a digit of the data): else this tests nothing.
        Assert.InRange(readable, Cases / 100, Cases / 2);
        string[] expected = ["overlaps", "hole", "belong to no tensor", "cannot take", "before its start", "twice", "not valid JSON", "claims a header", "unknown dtype", "unknown property", "not valid Unicode", "not a string", "not two whole", "whole number from", "checksum", "JSON object", "has two", "has no"];
        Assert.Equal([], expected.Where(part => !complaints.Any(complaint => complaint.Contains(part, StringComparison.Ordinal))));
    }

    /// <summary>Well-formed, and all header: whatever is kept of a tensor must fit what the header says of it.</summary>
    [Theory]
    [InlineData("U8", "", 1, 0)]
    [InlineData("U8", "0", 0, 0)]
    [InlineData("BF16", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", 2, 0)]
    [InlineData("F64", "0,2147483647", 0, 0)]
    [InlineData("F32", "", 4, 100_000)]
    public void Very_many_tiny_tensors_take_no_memory_beyond_the_file(string type, string shape, int bytes, int metadata)
    {
        const int Tensors = 100_000;
        var header = new StringBuilder("{\"__metadata__\":{");
        header.AppendJoin(',', Enumerable.Range(0, metadata).Select(i => $"\"{i:X}\":\"\"")).Append('}');
        // Data from last to first, so that neither order is that of the header.
        for (int i = Tensors - 1; i >= 0; i--)
            header.Append(CultureInfo.InvariantCulture, $",\"{i:X}\":{{\"dtype\":\"{type}\",\"shape\":[{shape}],\"data_offsets\":[{i * bytes},{(i + 1) * bytes}]}}");
        byte[] many = SafetensorsBytes.Of(header.Append('}').ToString(), new byte[Tensors * bytes]);

        long before = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
        using SafetensorsFile file = SafetensorsBytes.Open(many);
        AssertAllocated(before, many.Length + OpeningAllowanceBytes);
        Assert.True(Stopwatch.GetElapsedTime(start) < Limit, $"Opening took {Stopwatch.GetElapsedTime(start)}.");

        Assert.Equal((Tensors, metadata), (file.Entries.Count, file.Metadata.Count));
        for (int i = 0; i < Tensors; i += 997) Assert.Equal(i * bytes, file[i.ToString("X", CultureInfo.InvariantCulture)].Start);
    }

    /// <summary>Nothing to spare: the shortest entries there can be, alone.</summary>
    [Fact]
    public void The_table_has_room_in_every_header()
    {
        for (int count = 0; count < 300; count++)
        {
            IEnumerable<string> names = Enumerable.Range(0, count).Select(i => $"\"{(i == 0 ? "" : i.ToString("X", CultureInfo.InvariantCulture))}\"");
            string tensors = string.Join(',', names.Select(name => name + """:{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"""));
            string metadata = string.Join(',', names.Select(name => name + ":\"\""));
            using SafetensorsFile allTensors = SafetensorsBytes.Open(SafetensorsBytes.Of("{" + tensors + "}", 0));
            using SafetensorsFile allMetadata = SafetensorsBytes.Open(SafetensorsBytes.Of("{\"__metadata__\":{" + metadata + "}}", 0));
            Assert.Equal((count, count), (allTensors.Entries.Count, allMetadata.Metadata.Count));
            Assert.Equal(count, allTensors.Entries.Select(entry => entry.Name).Distinct().Count());
        }
    }

    [Theory]
    [InlineData("{\"__metadata__\":{\"k\":\"", "\"}}")]
    [InlineData("{\"", "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    public void Very_long_text_takes_no_memory_beyond_the_file(string before, string after)
    {
        foreach (string letter in (string[])["x", "ä", "\\n", "\\u00e4", "\\ud83d\\ude00"])
        {
            byte[] file = SafetensorsBytes.Of(before + string.Concat(Enumerable.Repeat(letter, 500_000)) + after, 0);
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            SafetensorsBytes.Open(file).Dispose();
            AssertAllocated(allocated, file.Length + OpeningAllowanceBytes);
        }
    }

    /// <summary>Null where everything could be read, else the sentence; any other exception fails the test.</summary>
    private static string? Outcome(byte[] bytes)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            using SafetensorsFile file = SafetensorsBytes.Open(bytes);
            AssertAllocated(before, bytes.Length + OpeningAllowanceBytes);
            foreach (SafetensorsEntry entry in file.Entries) Read(file, entry);
            file.Verify();
            return null;
        }
        catch (InputException e)
        {
            AssertAllocated(before, bytes.Length + OpeningAllowanceBytes);
            return e.Message;
        }
    }

    private static void Read(SafetensorsFile file, SafetensorsEntry entry)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        if (entry.Type is SafetensorsType.I32 or SafetensorsType.I64) file.ReadIntegers(entry.Name);
        else if (entry.Type is SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.F64)
            file.ReadFloats(entry.Name);
        AssertAllocated(before, (entry.Shape.Count * sizeof(float)) + ReadingAllowanceBytes);
    }

    private static void AssertAllocated(long before, long limit) =>
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, limit);

    /// <summary>The sentence without what the file itself brought into it.</summary>
    private static string Kind(string message) => string.Concat(message.Split('"').Where((_, index) => index % 2 == 0));

    /// <summary>A file by this library: checksum, metadata, several types.</summary>
    private static byte[] Written()
    {
        using var stream = new MemoryStream();
        SafetensorsWriter.Write(
            stream,
            [SafetensorsTensor.Floats("layers.0.weight", [4, 6], Samples.Normal(24, 1)), SafetensorsTensor.Floats("layers.0.bias", [4], new float[4]), SafetensorsTensor.Integers("cu_seqlens", [3], new[] { 0, 2, 4 })],
            new Dictionary<string, string> { ["kind"] = "gated_window_attention", ["window"] = "8" });
        return stream.ToArray();
    }

    /// <summary>A file by someone else: other types, an empty tensor, a scalar.</summary>
    private static byte[] Foreign() => SafetensorsBytes.Of(
        """{"__metadata__":{"format":"pt"},"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"b":{"dtype":"F64","shape":[],"data_offsets":[16,24]},"c":{"dtype":"F16","shape":[3,1],"data_offsets":[24,30]},"d":{"dtype":"BF16","shape":[0,9],"data_offsets":[30,30]},"e":{"dtype":"U8","shape":[5],"data_offsets":[30,35]}}   """,
        new byte[35]);
}
