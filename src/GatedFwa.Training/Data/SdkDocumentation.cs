using System.Runtime.InteropServices;
using System.Security.Cryptography;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Training.Data;

/// <summary>
/// The default corpus: English that every machine with a .NET SDK has. The reference packs document some 10,000 types in XML,
/// here reduced to a readable page each.
/// </summary>
/// <remarks>Processor intrinsics are left out: their documentation lists instructions and holds hardly a sentence.</remarks>
public static class SdkDocumentation
{
    private const string Intrinsics = "System.Runtime.Intrinsics.xml";

    /// <summary>The documentation files of the SDK that is installed, in order of name; none where there is no SDK.</summary>
    public static IReadOnlyList<string> FindFiles()
    {
        foreach (string root in Roots())
        {
            string packs = Path.Combine(root, "packs");
            if (!Directory.Exists(packs)) continue;
            IReadOnlyList<string> files = FindFiles(packs);
            if (files.Count > 0) return files;
        }

        return [];
    }

    /// <summary>The documentation files among packs, of each pack the newest version alone: the pages of two versions are nearly
    /// the same, and one would be learned from while its twin is held out.</summary>
    internal static IReadOnlyList<string> FindFiles(string packs)
    {
        string Part(string file, int depth) => Path.GetRelativePath(packs, file).Split(Path.DirectorySeparatorChar)[depth];
        IEnumerable<string> files = Directory.EnumerateFiles(packs, "*.xml", SearchOption.AllDirectories).Where(IsReference);
        return
        [
            .. files
                .GroupBy(file => Part(file, 0))
                .SelectMany(pack => pack.GroupBy(file => Part(file, 1)).MaxBy(version => Age(version.Key))!)
                .Order(StringComparer.Ordinal),
        ];
    }

    /// <summary>Rises from version to version: 9.0.11, 10.0.0-rc.2, 10.0.0.</summary>
    private static (Version Number, bool IsRelease, string Name) Age(string version) =>
        (Version.TryParse(version.Split('-')[0], out Version? number) ? number : new Version(), !version.Contains('-'), version);

    /// <summary>The readable pages of the installed SDK's reference documentation, each once.</summary>
    /// <exception cref="InputException">No SDK with reference packs is installed.</exception>
    public static IReadOnlyList<Document> Read()
    {
        IReadOnlyList<string> files = FindFiles();
        if (files.Count == 0)
        {
            throw new InputException(
                "No text was given and no .NET SDK with reference packs (dotnet/packs/*/*/ref/*/*.xml) was found to learn from; " +
                "name a text with --data FILE.");
        }

        return Read(files);
    }

    /// <summary>The readable pages of documentation files, each once.</summary>
    /// <param name="files">Paths of XML documentation files.</param>
    public static IReadOnlyList<Document> Read(IReadOnlyList<string> files)
    {
        byte[][] texts = [.. files.AsParallel().AsOrdered().WithDegreeOfParallelism(WorkerPool.Shared.Threads).Select(File.ReadAllBytes)];
        // Packs repeat each other's files: parse each once. The longest first, so that the last thread is not left with it.
        var unique = new Dictionary<UInt128, int>();
        for (int i = 0; i < texts.Length; i++) unique.TryAdd(Fingerprint(texts[i]), i);
        var pages = new List<Document>[files.Count];
        var bound = new ParallelOptions { MaxDegreeOfParallelism = WorkerPool.Shared.Threads };
        Parallel.ForEach(unique.Values.OrderByDescending(i => texts[i].Length), bound, i => pages[i] = DocumentationFile.Read(texts[i]));
        return WithoutRepeats(pages.Where(list => list is not null).SelectMany(list => list));
    }

    private static List<Document> WithoutRepeats(IEnumerable<Document> pages)
    {
        var seen = new HashSet<UInt128>();
        return [.. pages.Where(page => seen.Add(Fingerprint(page.Text.Span)))];
    }

    private static UInt128 Fingerprint(ReadOnlySpan<byte> text)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(text, hash);
        return MemoryMarshal.Read<UInt128>(hash);
    }

    private static bool IsReference(string path) =>
        path.Split(Path.DirectorySeparatorChar) is [.., "ref", _, var name] && name != Intrinsics;

    /// <summary>Where an SDK may lie: beside the runtime that runs this, where the environment says, where the shell finds it.</summary>
    private static IEnumerable<string> Roots()
    {
        // …/dotnet/shared/Microsoft.NETCore.App/10.0.0/
        yield return Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        if (Environment.GetEnvironmentVariable("DOTNET_ROOT") is { Length: > 0 } root) yield return root;
        string command = OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet";
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            var file = new FileInfo(Path.Combine(folder, command));
            if (!file.Exists) continue;
            FileSystemInfo target = file.ResolveLinkTarget(returnFinalTarget: true) ?? file;
            yield return Path.GetDirectoryName(target.FullName)!;
        }
    }
}
