using System.Text;

namespace GatedFwa.Testing;

/// <summary>A folder of a test's own, gone afterwards.</summary>
public sealed class TemporaryFolder : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("gatedfwa-");

    public string Root => _folder.FullName;

    /// <summary>The path of something in it.</summary>
    public string this[string relative] => Path.Combine(Root, relative);

    /// <summary>The names of everything in it.</summary>
    public IEnumerable<string> Names => _folder.EnumerateFileSystemInfos().Select(info => info.Name).Order();

    /// <summary>Writes a file, with the folders above it, and gives its path.</summary>
    public string Write(string relative, string text) => Write(relative, Encoding.UTF8.GetBytes(text));

    /// <inheritdoc cref="Write(string, string)"/>
    public string Write(string relative, byte[] bytes)
    {
        string path = this[relative];
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    public void Dispose() => _folder.Delete(recursive: true);
}
