using System.Buffers.Binary;
using System.Runtime.InteropServices;
using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>A tensor to be written to a safetensors file.</summary>
public sealed class SafetensorsTensor
{
    private readonly Action<Stream> _write;

    private SafetensorsTensor(string name, SafetensorsType type, Shape shape, Action<Stream> write) =>
        (Name, Type, Shape, _write) = (name, type, shape, write);

    /// <summary>Its name in the file.</summary>
    public string Name { get; }

    /// <summary>The type of its elements in the file.</summary>
    public SafetensorsType Type { get; }

    /// <summary>Its extents, outermost first.</summary>
    public Shape Shape { get; }

    /// <summary>The bytes it takes.</summary>
    public long Bytes => Shape.Count * Type.Bytes();

    /// <summary>An F32 tensor from an array.</summary>
    /// <param name="name">Its name in the file.</param>
    /// <param name="shape">Its extents.</param>
    /// <param name="values">The elements, row-major; read when the file is written.</param>
    /// <exception cref="OperandException">The number of values is not that of the shape.</exception>
    public static SafetensorsTensor Floats(string name, Shape shape, ReadOnlyMemory<float> values) =>
        Of(name, SafetensorsType.F32, shape, values);

    /// <summary>An I32 tensor from an array.</summary>
    /// <param name="name">Its name in the file.</param>
    /// <param name="shape">Its extents.</param>
    /// <param name="values">The elements, row-major; read when the file is written.</param>
    /// <exception cref="OperandException">The number of values is not that of the shape.</exception>
    public static SafetensorsTensor Integers(string name, Shape shape, ReadOnlyMemory<int> values) =>
        Of(name, SafetensorsType.I32, shape, values);

    /// <summary>The present elements of an F32 tensor, on whatever device it lies.</summary>
    /// <param name="name">Its name in the file.</param>
    /// <param name="tensor">The tensor; read when the file is written.</param>
    /// <exception cref="OperandException">The tensor is not F32.</exception>
    public static SafetensorsTensor From(string name, Tensor tensor)
    {
        if (tensor.Type != DType.F32) throw new OperandException(nameof(SafetensorsTensor), "an F32 tensor", $"{tensor.Type}");
        return new(
            name,
            SafetensorsType.F32,
            tensor.Shape,
            stream => WriteElements<float>(stream, tensor.Device.IsCpu ? tensor.AsSpan() : tensor.ToArray()));
    }

    internal void WriteTo(Stream stream) => _write(stream);

    private static SafetensorsTensor Of<T>(string name, SafetensorsType type, Shape shape, ReadOnlyMemory<T> values)
        where T : unmanaged
    {
        if (shape.Count != values.Length)
            throw new OperandException(nameof(SafetensorsTensor), $"{shape.Count} values for {shape}", $"{values.Length}");
        return new(name, type, shape, stream => WriteElements(stream, values.Span));
    }

    /// <summary>Writes elements of four bytes, the lowest first.</summary>
    private static void WriteElements<T>(Stream stream, ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (BitConverter.IsLittleEndian)
        {
            while (!values.IsEmpty)
            {
                ReadOnlySpan<T> part = values[..Math.Min(values.Length, SafetensorsConversion.MaxSpanElements)];
                stream.Write(MemoryMarshal.AsBytes(part));
                values = values[part.Length..];
            }

            return;
        }

        Span<byte> bytes = stackalloc byte[sizeof(int)];
        foreach (int bits in MemoryMarshal.Cast<T, int>(values))
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes, bits);
            stream.Write(bytes);
        }
    }
}
