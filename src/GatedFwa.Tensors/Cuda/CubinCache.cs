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

    /// <summary>The entry of that key, made and kept if there is none.</summary>
    /// <exception cref="CudaException">The folder cannot be written.</exception>
    public static byte[] GetOrAdd(string key, Func<byte[]> compile)
    {
        string setting = Environment.GetEnvironmentVariable(FolderVariable) ?? "";
        if (setting == "off") return compile();
        string folder = setting.Length > 0
            ? setting
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "gatedfwa", "kernels");
        string file = Path.Combine(folder, key + ".cubin");
        if (TryRead(file) is { } kept) return kept;
        byte[] image = compile();
        try
        {
            Write(folder, file, image);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CudaException(
                $"The kernel cache \"{folder}\" cannot be written ({exception.Message.TrimEnd('.')}); " +
                $"set {FolderVariable} to a folder that can be, or to off to compile anew at every start.",
                exception);
        }

        return image;
    }

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
