using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;

namespace GatedFwa.Checkpoints;

/// <summary>Writes safetensors files, whole or not at all, with a checksum that <see cref="SafetensorsFile.Verify"/> checks.</summary>
public static class SafetensorsWriter
{
    private const int AlignmentBytes = 8;

    /// <summary>Replaces a file, or makes it; a failure at any moment leaves what was there.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="tensors">The tensors, each under a name of its own.</param>
    /// <param name="metadata">Strings to keep beside them; the key <c>crc32c</c> is the writer's own.</param>
    /// <exception cref="InputException">The file cannot be written: the disk is full, the folder read-only or missing.</exception>
    /// <exception cref="ArgumentException">Two tensors have one name, or one has the name that the format keeps for metadata.</exception>
    public static void Write(string path, IEnumerable<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        List<SafetensorsTensor> ordered = InOrder(tensors);
        AtomicFile.Write(path, stream => Write(stream, ordered, metadata));
    }

    /// <summary>Writes the format to a stream.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="tensors">The tensors, each under a name of its own.</param>
    /// <param name="metadata">Strings to keep beside them; the key <c>crc32c</c> is the writer's own.</param>
    /// <exception cref="ArgumentException">Two tensors have one name, or one has the name that the format keeps for metadata.</exception>
    public static void Write(Stream stream, IEnumerable<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Write(stream, InOrder(tensors), metadata);

    private static void Write(Stream stream, List<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        ReadOnlySpan<byte> header = Header(tensors, WithChecksum(tensors, metadata));
        int padding = -header.Length & (AlignmentBytes - 1);
        Span<byte> length = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length + padding);
        stream.Write(length);
        stream.Write(header);
        stream.Write("        "u8[..padding]);
        foreach (SafetensorsTensor tensor in tensors) tensor.WriteTo(stream);
    }

    /// <summary>
    /// Wide elements first, so that every tensor is aligned to its elements; names within a width, so that files can be compared.
    /// </summary>
    private static List<SafetensorsTensor> InOrder(IEnumerable<SafetensorsTensor> tensors)
    {
        List<SafetensorsTensor> ordered = [.. tensors.OrderByDescending(tensor => tensor.Type.Bytes()).ThenBy(tensor => tensor.Name, StringComparer.Ordinal)];
        var names = new HashSet<string> { SafetensorsHeader.MetadataKey };
        foreach (SafetensorsTensor tensor in ordered)
        {
            if (!names.Add(tensor.Name)) throw new ArgumentException($"The name {Phrase.Quote(tensor.Name)} is taken.", nameof(tensors));
        }

        return ordered;
    }

    /// <summary>The checksum stands before the data, so the data is gone through twice: at the speed of memory, not of the disk.</summary>
    private static SortedDictionary<string, string> WithChecksum(
        List<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var all = new SortedDictionary<string, string>(metadata?.ToDictionary() ?? [], StringComparer.Ordinal);
        using var checksum = new ContentChecksum(all);
        foreach (SafetensorsTensor tensor in tensors) tensor.WriteTo(checksum.Add(tensor.Name, tensor.Type, tensor.Shape));
        all[ContentChecksum.Key] = checksum.Text;
        return all;
    }

    private static ReadOnlySpan<byte> Header(List<SafetensorsTensor> tensors, SortedDictionary<string, string> metadata)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartObject(SafetensorsHeader.MetadataKey);
        foreach ((string key, string value) in metadata) json.WriteString(key, value);
        json.WriteEndObject();

        long offset = 0;
        foreach (SafetensorsTensor tensor in tensors)
        {
            json.WriteStartObject(tensor.Name);
            json.WriteString("dtype", tensor.Type.ToString());
            json.WriteStartArray("shape");
            foreach (int extent in tensor.Shape) json.WriteNumberValue(extent);
            json.WriteEndArray();
            json.WriteStartArray("data_offsets");
            json.WriteNumberValue(offset);
            json.WriteNumberValue(offset += tensor.Bytes);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan;
    }
}
