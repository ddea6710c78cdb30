using System.Reflection;
using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Cli;

/// <summary>What this process runs on, and what it is.</summary>
/// <param name="Processor">The processor's name.</param>
/// <param name="Processors">How many logical processors this process may use.</param>
/// <param name="Simd">The vector unit in use.</param>
/// <param name="SimdWidth">Floats in a vector.</param>
/// <param name="MemoryBytes">Memory this process may use.</param>
/// <param name="System">The operating system.</param>
/// <param name="Runtime">The .NET version.</param>
/// <param name="Version">The version of this command.</param>
/// <param name="Commit">The commit it was built from, where the build knew it.</param>
internal sealed record Machine(
    string Processor, int Processors, string Simd, int SimdWidth, long MemoryBytes, string System, string Runtime, string Version, string? Commit)
{
    private const int ShortCommit = 10;

    public static Machine Current { get; } = Read();

    /// <summary>Version and commit in words.</summary>
    public string VersionInWords => Commit is null ? Version : $"{Version} ({Commit})";

    private static Machine Read()
    {
        string informational = typeof(Machine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
        string[] parts = informational.Split('+', 2);
        string? commit = parts.Length < 2 ? null : parts[1][..Math.Min(ShortCommit, parts[1].Length)];
        return new(
            ProcessorName(),
            Environment.ProcessorCount,
            Tensors.Cpu.Simd.Description,
            Tensors.Cpu.Simd.Width,
            GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            RuntimeInformation.OSDescription,
            RuntimeInformation.FrameworkDescription,
            parts[0],
            commit);
    }

    private static string ProcessorName()
    {
        const string cpuInfo = "/proc/cpuinfo";
        string? line = File.Exists(cpuInfo)
            ? File.ReadLines(cpuInfo).FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))
            : null;
        return line?.Split(':', 2)[^1].Trim()
            ?? Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER")
            ?? $"{RuntimeInformation.ProcessArchitecture} processor";
    }
}
