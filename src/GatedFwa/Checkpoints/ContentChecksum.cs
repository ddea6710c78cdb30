using System.Text;
using GatedFwa.Tensors;

namespace GatedFwa.Checkpoints;

/// <summary>
/// A checksum of what a safetensors file says: metadata, names, types, shapes and data, but not the way its header is written
/// down. It stands in the metadata under <see cref="Key"/>.
/// </summary>
internal sealed class ContentChecksum : IDisposable
{
    /// <summary>The metadata that holds the checksum.</summary>
    public const string Key = "crc32c";

    private readonly Crc32C _crc = new();

    /// <summary>Begins with the metadata, whatever its order.</summary>
    public ContentChecksum(IEnumerable<KeyValuePair<string, string>> metadata)
    {
        foreach ((string key, string value) in metadata.Where(pair => pair.Key != Key).OrderBy(pair => pair.Key, StringComparer.Ordinal))
            Add($"{key}\0{value}\0");
    }

    /// <summary>Eight hexadecimal digits.</summary>
    public string Text => _crc.Text;

    /// <summary>Takes in a tensor, in the order of the data.</summary>
    /// <returns>Where its data is to be written.</returns>
    public Stream Add(string name, SafetensorsType type, Shape shape)
    {
        Add($"{name}\0{type}{shape}\0");
        return _crc;
    }

    public void Dispose() => _crc.Dispose();

    private void Add(string text) => _crc.Write(Encoding.UTF8.GetBytes(text));
}
