using System.Security.Cryptography;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// Compiled kernels on disk, named by the hash of everything that went into them. Entries are written beside and renamed, so that
/// several processes may share the folder; one that is damaged is compiled again.
/// </summary>
internal static class CubinCache
{
    /// <summary>The folder to use, or <c>off</c>.</summary>
    public const string FolderVariable = "GATEDFWA_KERNEL_CACHE";

    private const int ChecksumBytes = 32; // SHA-256, before the code.

    /// <summary>The folder, or null where nothing is to be kept.</summary>
    private static string? Folder
    {
        get
        {
            string setting = Environment.GetEnvironmentVariable(FolderVariable) ?? "";
            if (setting == "off") return null;
            return setting.Length > 0
                ? setting
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "gatedfwa", "kernels");
        }
    }

    /// <summary>The entry of that key, if there is one.</summary>
    public static byte[]? Find(string key) => Folder is { } folder ? TryRead(FileOf(folder, key)) : null;

    /// <summary>Keeps an entry, unless nothing is to be kept.</summary>
    /// <exception cref="CudaException">The folder cannot be written.</exception>
    public static void Keep(string key, byte[] image)
    {
        if (Folder is not { } folder) return;
        try
        {
            Write(folder, FileOf(folder, key), image);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CudaException(
                $"The kernel cache \"{folder}\" cannot be written ({exception.Message.TrimEnd('.')}); " +
                $"set {FolderVariable} to a folder that can be, or to off to compile anew at every start.",
                exception);
        }
    }

    private static string FileOf(string folder, string key) => Path.Combine(folder, key + ".cubin");

    private static byte[]? TryRead(string file)
    {
        try
        {
            if (!File.Exists(file)) return null;
            byte[] entry = File.ReadAllBytes(file);
            if (entry.Length <= ChecksumBytes) return null;
            byte[] image = entry[ChecksumBytes..];
            return SHA256.HashData(image).AsSpan().SequenceEqual(entry.AsSpan(0, ChecksumBytes)) ? image : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null; // Compiling again is always possible.
        }
    }

    private static void Write(string folder, string file, byte[] image)
    {
        Directory.CreateDirectory(folder);
        string temporary = $"{file}.{Environment.ProcessId}.{Guid.NewGuid():n}";
        try
        {
            File.WriteAllBytes(temporary, [.. SHA256.HashData(image), .. image]);
            File.Move(temporary, file, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
