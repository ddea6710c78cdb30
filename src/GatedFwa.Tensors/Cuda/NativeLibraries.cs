using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// Finds NVIDIA's libraries on first use. Without them a machine is simply a CPU machine; asking for a GPU there tells what was
/// searched.
/// </summary>
internal static class NativeLibraries
{
    /// <summary>Folders to search first, separated as in PATH.</summary>
    public const string PathVariable = "GATEDFWA_CUDA_PATH";

    public const string Driver = "cuda";
    public const string Nvrtc = "nvrtc";
    public const string CublasLt = "cublasLt";

    private static readonly ConcurrentDictionary<string, nint> Loaded = new();

    // One each: calls of the driver do not wait for libraries that are loaded ahead.
    private static readonly Dictionary<string, Lock> Gates = new() { [Driver] = new(), [Nvrtc] = new(), [CublasLt] = new() };

    static NativeLibraries() => NativeLibrary.SetDllImportResolver(
        Assembly.GetExecutingAssembly(),
        (name, _, _) => name is Driver or Nvrtc or CublasLt ? Require(name) : 0);

    /// <summary>Begins to load what will be needed soon, hundreds of megabytes, while the driver is busy with something else.</summary>
    public static void LoadAhead() => Task.Run(() =>
    {
        foreach (string library in (string[])[CublasLt, Nvrtc])
        {
            try
            {
                Require(library);
            }
            catch (CudaException)
            {
                // Told to whoever needs it.
            }
        }
    });

    /// <summary>Loads a library, once.</summary>
    /// <exception cref="CudaException">It is nowhere; the message says where it was looked for.</exception>
    public static nint Require(string library)
    {
        if (Loaded.TryGetValue(library, out nint handle)) return handle;
        lock (Gates[library])
        {
            if (Loaded.TryGetValue(library, out handle)) return handle;
            string[] folders = [.. Folders().Distinct()];
            foreach (string name in FileNames(library))
            {
                foreach (string folder in folders.Where(Directory.Exists))
                {
                    if (NativeLibrary.TryLoad(Path.Combine(folder, name), out handle)) return Loaded[library] = handle;
                }

                if (NativeLibrary.TryLoad(name, out handle)) return Loaded[library] = handle;
            }

            throw new CudaException(Missing(library, folders));
        }
    }

    private static string[] FileNames(string library) => (library, OperatingSystem.IsWindows()) switch
    {
        (Driver, true) => ["nvcuda.dll"],
        (Driver, false) => ["libcuda.so.1"],
        (Nvrtc, true) => ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"],
        (Nvrtc, false) => ["libnvrtc.so.13", "libnvrtc.so.12"],
        (_, true) => ["cublasLt64_13.dll", "cublasLt64_12.dll"],
        _ => ["libcublasLt.so.13", "libcublasLt.so.12"],
    };

    private static string Missing(string library, string[] folders)
    {
        string names = string.Join(" or ", FileNames(library));
        string searched = $"searched: {string.Join(", ", ["the loader's path", .. folders.Where(Directory.Exists)])}";
        return library == Driver
            ? $"There is no NVIDIA driver here ({names} was not found); " +
              $"install it, or leave --device out to compute on the CPU ({searched})."
            : $"The CUDA toolkit's {names} was not found; install it or name its folder in {PathVariable} ({searched}).";
    }

    private static IEnumerable<string> Folders()
    {
        foreach (string folder in Variable(PathVariable)) yield return folder;
        foreach (string root in Variable("CUDA_PATH").Concat(Variable("CUDA_HOME")))
        {
            yield return Path.Combine(root, "lib64");
            yield return Path.Combine(root, "bin");
        }

        if (OperatingSystem.IsWindows()) yield break;
        foreach (string root in Directories("/usr/local", "cuda*")) yield return Path.Combine(root, "lib64");
        yield return "/usr/lib/x86_64-linux-gnu";
        yield return "/usr/lib/aarch64-linux-gnu";
        yield return "/usr/lib/wsl/lib";
        // The libraries that come with a Python framework serve as well.
        foreach (string bin in Variable("PATH"))
        {
            if (!File.Exists(Path.Combine(bin, "python3"))) continue;
            foreach (string python in Directories(Path.Combine(bin, "..", "lib"), "python3*"))
            {
                string packages = Path.GetFullPath(Path.Combine(python, "site-packages", "nvidia"));
                foreach (string package in new[] { "cu13", "cuda_nvrtc", "cublas" }) yield return Path.Combine(packages, package, "lib");
            }
        }
    }

    private static string[] Variable(string name) =>
        Environment.GetEnvironmentVariable(name)?.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries) ?? [];

    private static IEnumerable<string> Directories(string root, string pattern)
    {
        try
        {
            return Directory.Exists(root) ? Directory.GetDirectories(root, pattern).OrderDescending(StringComparer.Ordinal) : [];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
