using System.Collections.Concurrent;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// From kernel texts to functions of one GPU: looked up in memory, then on disk, then compiled. Nobody waits for the compiler here:
/// the thread pool compiles as many texts at a time as there are processors, and <see cref="CudaStream"/> keeps the launches meanwhile.
/// </summary>
internal sealed unsafe class KernelCompiler(CudaDevice device)
{
    private static readonly ConcurrentDictionary<Assembly, Headers> HeadersOf = new();

    // Who compiles reads. The process writes when it ends, for good: a compiler still at work while its library is taken down fails.
    private static readonly ReaderWriterLockSlim ProcessEnd = new();

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<nint>> _modules = [];
    private readonly ConcurrentDictionary<string, CudaKernel> _kernels = new();

    static KernelCompiler() => AppDomain.CurrentDomain.ProcessExit += (_, _) => ProcessEnd.EnterWriteLock();

    /// <summary>A function of a text with these defines.</summary>
    public CudaKernel Get(KernelSource source, string function, ReadOnlySpan<KernelDefine> defines)
    {
        var key = new StringBuilder(source.File, 128);
        foreach (KernelDefine define in defines) key.Append(" -D").Append(define.Name).Append('=').Append(define.Value);
        string module = key.ToString(), name = key.Append(' ').Append(function).ToString();
        if (_kernels.TryGetValue(name, out CudaKernel? kernel)) return kernel;
        string[] options = [.. Options(), .. defines.ToArray().Select(define => $"-D{define.Name}={define.Value}")];
        lock (_gate)
        {
            device.Activate();
            if (!_modules.TryGetValue(module, out Task<nint>? loaded)) _modules[module] = loaded = Begin(source, options);
            return _kernels[name] = new CudaKernel(device, loaded, function, $"{function} ({module})");
        }
    }

    // What only Hopper has is in sm_90a; no other architecture runs that.
    private string[] Options() =>
    [
        $"--gpu-architecture=sm_{device.Architecture}{(device.Architecture == 90 ? "a" : "")}",
        "--std=c++17",
        "--device-as-default-execution-space",
        "-lineinfo",
    ];

    /// <summary>Loads a module that is on disk, and begins to compile one that is not.</summary>
    private Task<nint> Begin(KernelSource source, string[] options)
    {
        Headers headers = HeadersOf.GetOrAdd(source.Owner.Assembly, Headers.Of);
        string text = Text(source.Owner.Assembly, source.File), key = Hash(text, headers, options);
        if (CubinCache.Find(key) is { } kept) return Task.FromResult(Load(source, kept));
        return Task.Run(() =>
        {
            ProcessEnd.EnterReadLock();
            try
            {
                byte[] image = Nvrtc.Compile(source.File, text, headers.Texts, options);
                CubinCache.Keep(key, image);
                device.Activate();
                return Load(source, image);
            }
            finally
            {
                ProcessEnd.ExitReadLock();
            }
        });
    }

    private nint Load(KernelSource source, byte[] image)
    {
        nint module;
        fixed (byte* bytes = image)
        {
            Check(
                cuModuleLoadData(&module, bytes),
                $"Loading {source.File} for sm_{device.Architecture} (is the driver older than NVRTC?)");
        }

        return module;
    }

    private static string Hash(string text, Headers headers, string[] options)
    {
        (int major, int minor) = Nvrtc.Version;
        return HashOf([$"{major}.{minor}", .. options, headers.Hash, text]);
    }

    private static string HashOf(IEnumerable<string> parts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string part in parts)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(part));
            hash.AppendData([0]);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Text(Assembly assembly, string name)
    {
        using Stream stream = assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"{assembly.GetName().Name} embeds no kernel text {name}.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>What kernel texts of an assembly may include.</summary>
    /// <param name="Texts">By name.</param>
    /// <param name="Hash">Of all of them, once a process: a training step loads thirty modules.</param>
    private sealed record Headers(Dictionary<string, string> Texts, string Hash)
    {
        public static Headers Of(Assembly owner)
        {
            Dictionary<string, string> texts = [];
            foreach (Assembly assembly in new[] { typeof(KernelCompiler).Assembly, owner }.Distinct())
            {
                foreach (string name in assembly.GetManifestResourceNames().Where(name => name.EndsWith(".cuh", StringComparison.Ordinal)))
                    texts[name] = Text(assembly, name);
            }

            IEnumerable<string> names = texts.Keys.Order(StringComparer.Ordinal);
            return new Headers(texts, HashOf(names.Select(name => name + texts[name])));
        }
    }
}
