namespace GatedFwa.Tests;

/// <summary>A folder of its own for one test, gone afterwards.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("gatedfwa-");

    public string Root => _folder.FullName;

    public string this[string name] => System.IO.Path.Combine(Root, name);

    /// <summary>The names of everything in it.</summary>
    public IEnumerable<string> Names => _folder.EnumerateFileSystemInfos().Select(info => info.Name).Order();

    public void Dispose() => _folder.Delete(recursive: true);
}
