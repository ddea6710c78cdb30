using System.Buffers.Binary;
using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Checkpoints;

public sealed class SafetensorsWriterTests : TensorTest
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void What_is_written_is_read_back()
    {
        float[] floats = Samples.Normal(15, 1);
        int[] integers = [-1, 0, int.MaxValue];
        using Tensor tensor = Tensor.From([1.5f, float.NegativeInfinity], [2, 1]);
        var metadata = new Dictionary<string, string> { ["format"] = "pt", ["Größe \"1\""] = "\n" };

        SafetensorsWriter.Write(
            _folder["a.safetensors"],
            [SafetensorsTensor.Floats("b", [3, 5], floats), SafetensorsTensor.Integers("a", [3], integers), SafetensorsTensor.From("täns or", tensor), SafetensorsTensor.Floats("empty", [0, 4], default)],
            metadata);

        using SafetensorsFile file = SafetensorsFile.Open(_folder["a.safetensors"]);
        Assert.Equal(["a", "b", "empty", "täns or"], file.Entries.Select(entry => entry.Name).Order(StringComparer.Ordinal));
        Assert.Equal(metadata, file.Metadata.Where(pair => pair.Key != "crc32c").ToDictionary());
        Assert.Equal(floats, file.ReadFloats("b"));
        Assert.Equal([3, 5], file["b"].Shape.ToArray());
        Assert.Equal(integers, file.ReadIntegers("a"));
        Assert.Equal([1.5f, float.NegativeInfinity], file.ReadFloats("täns or"));
        Assert.Empty(file.ReadFloats("empty"));
    }

    [Fact]
    public void The_data_begins_at_a_multiple_of_eight_bytes()
    {
        for (int letters = 1; letters <= 8; letters++)
        {
            using var stream = new MemoryStream();
            SafetensorsWriter.Write(stream, [SafetensorsTensor.Floats(new string('x', letters), [1], new float[1])]);
            Assert.Equal(0, BinaryPrimitives.ReadInt64LittleEndian(stream.ToArray()) % 8);
        }
    }

    [Fact]
    public void The_same_content_gives_the_same_bytes_whatever_its_order()
    {
        SafetensorsTensor[] tensors = [.. Enumerable.Range(0, 5).Select(i => SafetensorsTensor.Floats($"t{i}", [2], Samples.Normal(2, (ulong)i)))];
        using var one = new MemoryStream();
        using var other = new MemoryStream();
        SafetensorsWriter.Write(one, tensors, new Dictionary<string, string> { ["a"] = "1", ["b"] = "2" });
        SafetensorsWriter.Write(other, tensors.Reverse(), new Dictionary<string, string> { ["b"] = "2", ["a"] = "1" });
        Assert.Equal(one.ToArray(), other.ToArray());
    }

    [Fact]
    public void Any_flipped_bit_of_a_file_is_found()
    {
        using var stream = new MemoryStream();
        SafetensorsWriter.Write(
            stream,
            [SafetensorsTensor.Floats("x", [2, 3], Samples.Normal(6, 2)), SafetensorsTensor.Integers("y", [1], new int[1])],
            new Dictionary<string, string> { ["window"] = "512" });
        byte[] bytes = stream.ToArray();
        Open(bytes);
        for (int bit = 0; bit < 8 * bytes.Length; bit++)
        {
            byte[] flipped = [.. bytes];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            // Only the name of the checksum may change: without it the file is someone else's.
            if (Encoding.UTF8.GetString(flipped).Contains("\"crc32c\"", StringComparison.Ordinal))
                Assert.Throws<InputException>(() => Open(flipped));
        }

        static void Open(byte[] bytes)
        {
            using SafetensorsFile file = SafetensorsBytes.Open(bytes);
            file.Verify();
        }
    }

    [Fact]
    public void The_checksum_outlives_a_header_written_in_another_order()
    {
        using var stream = new MemoryStream();
        SafetensorsWriter.Write(stream, [SafetensorsTensor.Floats("x", [1], new float[1])], new Dictionary<string, string> { ["b"] = "1" });
        using SafetensorsFile ours = SafetensorsBytes.Open(stream.ToArray());
        string checksum = ours.Metadata["crc32c"];
        using SafetensorsFile theirs = SafetensorsBytes.Open(SafetensorsBytes.Of(
            "{\"x\": {\"shape\": [1], \"dtype\": \"F32\", \"data_offsets\": [0, 4]}, \"__metadata__\": {\"crc32c\": \"" + checksum + "\", \"b\": \"1\"}}", new byte[4]));
        theirs.Verify();
    }

    [Fact]
    public void A_file_without_a_checksum_is_taken_as_it_is()
    {
        using SafetensorsFile file = SafetensorsFile.Open(Golden.PathOf("attention_basic"));
        file.Verify();
    }

    [Fact]
    public void Two_tensors_of_one_name_are_refused_before_anything_is_written()
    {
        SafetensorsTensor tensor = SafetensorsTensor.Floats("x", [1], new float[1]);
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(_folder["a"], [tensor, tensor]));
        Assert.Throws<ArgumentException>(
            () => SafetensorsWriter.Write(_folder["a"], [SafetensorsTensor.Floats("__metadata__", [1], new float[1])]));
        Assert.Throws<OperandException>(() => SafetensorsTensor.Floats("x", [2], new float[1]));
        Assert.Empty(_folder.Names);
    }

    protected override void Cleanup() => _folder.Dispose();
}
