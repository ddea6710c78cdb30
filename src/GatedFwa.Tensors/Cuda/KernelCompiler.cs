using System.Collections.Concurrent;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>From kernel texts to functions of one GPU: looked up in memory, then on disk, then compiled.</summary>
internal sealed unsafe class KernelCompiler(CudaDevice device)
{
    private static readonly ConcurrentDictionary<Assembly, Dictionary<string, string>> HeadersOf = new();

    private readonly Lock _gate = new();
    private readonly Dictionary<string, nint> _modules = [];
    private readonly ConcurrentDictionary<string, CudaKernel> _kernels = new();

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
            if (!_modules.TryGetValue(module, out nint loaded)) _modules[module] = loaded = Load(source, options);
            nint address;
            Check(cuModuleGetFunction(&address, loaded, function), $"Finding {function} in {source.File}");
            return _kernels[name] = new CudaKernel(device, address, $"{function} ({module})");
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

    private nint Load(KernelSource source, string[] options)
    {
        Dictionary<string, string> headers = HeadersOf.GetOrAdd(source.Owner.Assembly, Headers);
        string text = Text(source.Owner.Assembly, source.File);
        byte[] image = CubinCache.GetOrAdd(Hash(text, headers, options), () => Nvrtc.Compile(source.File, text, headers, options));
        nint module;
        fixed (byte* bytes = image)
        {
            Check(
                cuModuleLoadData(&module, bytes),
                $"Loading {source.File} for sm_{device.Architecture} (is the driver older than NVRTC?)");
        }

        return module;
    }

    /// <summary>What kernel texts of an assembly may include, by name.</summary>
    private static Dictionary<string, string> Headers(Assembly owner)
    {
        Dictionary<string, string> headers = [];
        foreach (Assembly assembly in new[] { typeof(KernelCompiler).Assembly, owner }.Distinct())
        {
            foreach (string header in assembly.GetManifestResourceNames().Where(name => name.EndsWith(".cuh", StringComparison.Ordinal)))
                headers[header] = Text(assembly, header);
        }

        return headers;
    }

    private static string Hash(string text, Dictionary<string, string> headers, string[] options)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Add(string part)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(part));
            hash.AppendData([0]);
        }

        (int major, int minor) = Nvrtc.Version;
        Add($"{major}.{minor}");
        foreach (string option in options) Add(option);
        foreach ((string name, string header) in headers.OrderBy(entry => entry.Key, StringComparer.Ordinal)) Add(name + header);
        Add(text);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Text(Assembly assembly, string name)
    {
        using Stream stream = assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"{assembly.GetName().Name} embeds no kernel text {name}.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
