using System.Buffers.Binary;
using System.Text;
using GatedFwa.Checkpoints;

namespace GatedFwa.Tests.Checkpoints;

/// <summary>Safetensors files put together by hand, right or wrong.</summary>
internal static class SafetensorsBytes
{
    /// <summary>A file of a header and as many data bytes: 0, 1, 2, …</summary>
    public static byte[] Of(string header, int dataBytes, long? headerLength = null) =>
        Of(header, [.. Enumerable.Range(0, dataBytes).Select(i => (byte)i)], headerLength);

    public static byte[] Of(string header, byte[] data, long? headerLength = null) =>
        Of(Encoding.UTF8.GetBytes(header), data, headerLength);

    public static byte[] Of(byte[] header, byte[] data, long? headerLength = null)
    {
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, headerLength ?? header.Length);
        return [.. length, .. header, .. data];
    }

    public static SafetensorsFile Open(byte[] bytes) => SafetensorsFile.Open(new MemoryStream(bytes, writable: false), "bad.safetensors");
}
