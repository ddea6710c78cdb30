using System.Buffers.Binary;
using System.Runtime.InteropServices;
using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>
/// A safetensors file, open for reading. The header is checked in full when the file is opened, in the memory of its own size: from
/// then on every tensor is known to lie inside the file, and reading one allocates that tensor and nothing more.
/// </summary>
/// <example>
/// <code>
/// using SafetensorsFile file = SafetensorsFile.Open("model.safetensors");
/// float[] weight = file.ReadFloats("embedding.weight");
/// </code>
/// </example>
public sealed class SafetensorsFile : IDisposable
{
    private const int LengthBytes = 8;
    private const long MaxHeaderBytes = 100_000_000; // The reference implementation's limit.

    private readonly Stream _stream;
    private readonly long _dataStart;
    private readonly SafetensorsTable _table;
    private Dictionary<string, string>? _metadata;

    private SafetensorsFile(Stream stream, string name)
    {
        _stream = stream;
        Name = name;
        FileBytes = stream.Length;
        byte[] header = ReadHeader();
        _dataStart = LengthBytes + header.Length;
        _table = SafetensorsHeader.Parse(header);
        _table.CheckLayout(FileBytes - _dataStart);
    }

    /// <summary>The path, or what the stream was called.</summary>
    public string Name { get; }

    /// <summary>The size of the whole file.</summary>
    public long FileBytes { get; }

    /// <summary>The tensors, in the order of their data.</summary>
    public IReadOnlyList<SafetensorsEntry> Entries => _table;

    /// <summary>The header's <c>__metadata__</c>; empty where there is none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata ??= _table.ReadMetadata();

    /// <summary>The entry of a tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="InputException">The file has no tensor of that name.</exception>
    public SafetensorsEntry this[string name] => _table.Find(name) ??
        throw new InputException(
            $"{Phrase.Quote(Name)} has no tensor {Phrase.Quote(name)}{Phrase.DidYouMean(name, _table.Select(entry => entry.Name))}; " +
            "add it to the file.");

    /// <summary>Opens a file and checks its header.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputException">The file cannot be opened, or is damaged, or is not a safetensors file.</exception>
    public static SafetensorsFile Open(string path) => Open(InputFile.Open(path), path);

    /// <summary>Reads from a stream that can seek, such as a file in memory.</summary>
    /// <param name="stream">The stream; disposed with the result, or at once where this throws.</param>
    /// <param name="name">What to call it in errors.</param>
    /// <exception cref="InputException">The stream does not hold a safetensors file.</exception>
    public static SafetensorsFile Open(Stream stream, string name)
    {
        try
        {
            return new SafetensorsFile(stream, name);
        }
        catch (Exception e)
        {
            stream.Dispose();
            if (e is FormatException)
            {
                throw new InputException(
                    $"Cannot read {Phrase.Quote(name)}: {e.Message}; it is damaged or not a safetensors file, copy or download it again.",
                    e);
            }

            if (e is IOException or NotSupportedException) throw InputFile.Unreadable(name, e);
            throw;
        }
    }

    /// <summary>Whether there is a tensor of that name.</summary>
    /// <param name="name">The name.</param>
    public bool Contains(string name) => _table.Find(name) is not null;

    /// <summary>Reads a tensor of F32, F16, BF16 or F64 elements.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>The elements, row-major; F64 is rounded to float32.</returns>
    /// <exception cref="InputException">There is no such tensor, or its elements are of another type.</exception>
    public float[] ReadFloats(string name)
    {
        var values = new float[ArrayLength(this[name])];
        ReadFloats(name, values);
        return values;
    }

    /// <summary>Reads a tensor of F32, F16, BF16 or F64 elements into memory that is there already.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="destination">As many places as the tensor has elements.</param>
    /// <exception cref="InputException">There is no such tensor, or its elements are of another type or number.</exception>
    public void ReadFloats(string name, Span<float> destination)
    {
        SafetensorsEntry entry = this[name];
        if (entry.Shape.Count != destination.Length)
        {
            throw new InputException(
                $"{Tensor(entry)} has {entry.Shape.Count} elements where {destination.Length} are expected; give a file of that size.");
        }

        SafetensorsConversion.Check(entry.Type, integers: false, Tensor(entry));
        Seek(entry);
        if (entry.Type == SafetensorsType.F32)
        {
            for (Span<float> rest = destination; !rest.IsEmpty;)
            {
                Span<float> part = rest[..Math.Min(rest.Length, SafetensorsConversion.MaxSpanElements)];
                Fill(MemoryMarshal.AsBytes(part));
                rest = rest[part.Length..];
            }

            if (!BitConverter.IsLittleEndian)
            {
                BinaryPrimitives.ReverseEndianness(
                    MemoryMarshal.Cast<float, int>(destination),
                    MemoryMarshal.Cast<float, int>(destination));
            }

            return;
        }

        Span<byte> buffer = stackalloc byte[SafetensorsConversion.BufferBytes];
        int perBuffer = buffer.Length / entry.Type.Bytes();
        for (int done = 0; done < destination.Length; done += perBuffer)
        {
            Span<float> part = destination.Slice(done, Math.Min(perBuffer, destination.Length - done));
            Span<byte> bytes = buffer[..(part.Length * entry.Type.Bytes())];
            Fill(bytes);
            SafetensorsConversion.ToFloats(entry.Type, bytes, part);
        }
    }

    /// <summary>Reads a tensor of I32 or I64 elements.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>The elements, row-major.</returns>
    /// <exception cref="InputException">There is no such tensor, its elements are of another type, or one does not fit 32 bits.</exception>
    public int[] ReadIntegers(string name)
    {
        SafetensorsEntry entry = this[name];
        SafetensorsConversion.Check(entry.Type, integers: true, Tensor(entry));
        var values = new int[ArrayLength(entry)];
        Seek(entry);
        Span<byte> buffer = stackalloc byte[SafetensorsConversion.BufferBytes];
        int perBuffer = buffer.Length / entry.Type.Bytes();
        for (int done = 0; done < values.Length; done += perBuffer)
        {
            Span<int> part = values.AsSpan(done, Math.Min(perBuffer, values.Length - done));
            Span<byte> bytes = buffer[..(part.Length * entry.Type.Bytes())];
            Fill(bytes);
            if (!SafetensorsConversion.TryToIntegers(entry.Type, bytes, part))
            {
                throw new InputException(
                    $"{Tensor(entry)} holds a number that does not fit 32 bits; use numbers from {int.MinValue} to {int.MaxValue}.");
            }
        }

        return values;
    }

    /// <summary>Reads all data once and holds everything the file says against the checksum that this library keeps in the metadata:
    /// a flipped bit leaves a file well-formed. Files of others have no checksum and pass.</summary>
    /// <exception cref="InputException">The content is not what was written.</exception>
    public void Verify()
    {
        if (!Metadata.TryGetValue(ContentChecksum.Key, out string? expected)) return;
        using var checksum = new ContentChecksum(Metadata);
        Span<byte> buffer = stackalloc byte[SafetensorsConversion.BufferBytes];
        _stream.Position = _dataStart;
        foreach (SafetensorsEntry entry in Entries)
        {
            Stream data = checksum.Add(entry.Name, entry.Type, entry.Shape);
            for (long left = entry.Bytes; left > 0; left -= buffer.Length)
            {
                Span<byte> part = buffer[..(int)Math.Min(buffer.Length, left)];
                Fill(part);
                data.Write(part);
            }
        }

        if (checksum.Text != expected)
        {
            throw new InputException(
                $"{Phrase.Quote(Name)} is damaged: its checksum differs; " +
                "copy it again or go back to another checkpoint (if another program changed it on purpose, " +
                $"remove {ContentChecksum.Key} from its metadata).");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    private byte[] ReadHeader()
    {
        if (FileBytes < LengthBytes)
            throw new FormatException($"it has {FileBytes} bytes and a safetensors file has at least {LengthBytes}");
        Span<byte> prefix = stackalloc byte[LengthBytes];
        _stream.Position = 0;
        _stream.ReadExactly(prefix);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > (ulong)(FileBytes - LengthBytes))
            throw new FormatException($"it claims a header of {length} bytes and has {FileBytes} in all");
        if (length > MaxHeaderBytes)
            throw new FormatException($"its header of {length} bytes is longer than the format's {MaxHeaderBytes}");
        var header = new byte[length];
        _stream.ReadExactly(header);
        return header;
    }

    private int ArrayLength(SafetensorsEntry entry) => entry.Shape.Count <= Array.MaxLength
        ? (int)entry.Shape.Count
        : throw new InputException($"{Tensor(entry)} has {entry.Shape.Count} elements, more than one array can hold; split it.");

    private string Tensor(SafetensorsEntry entry) => $"Tensor {Phrase.Quote(entry.Name)} of {Phrase.Quote(Name)}";

    private void Seek(SafetensorsEntry entry) => _stream.Position = _dataStart + entry.Start;

    private void Fill(Span<byte> bytes)
    {
        try
        {
            _stream.ReadExactly(bytes);
        }
        catch (IOException e)
        {
            throw InputFile.Unreadable(Name, e);
        }
    }
}
