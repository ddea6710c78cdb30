using System.Text;
using GatedFwa.Tensors.Memory;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// One GPU of this process: its context, the one stream that everything runs on, its memory and kernels. Lives as long as the
/// process.
/// </summary>
internal sealed unsafe class CudaDevice
{
    private const int OldestDriver = 12_000; // 12.0: the first with the launch and tile calls used here.
    private const int OldestArchitecture = 80; // bf16 tensor cores.

    private static readonly Lock Gate = new();
    private static readonly Dictionary<int, CudaDevice> Opened = [];

    [ThreadStatic]
    private static CudaDevice? _current;

    private readonly nint _context;
    private readonly KernelCompiler _compiler;

    /// <summary>Opens a GPU with a stream, memory and kernels of its own: <see cref="Get"/> does so once, and tests to break one.</summary>
    internal CudaDevice(int index, int ordinal)
    {
        Index = index;
        Name = NameOf(ordinal);
        Architecture = (Attribute(ordinal, MajorVersion) * 10) + Attribute(ordinal, MinorVersion);
        if (Architecture < OldestArchitecture)
        {
            throw new CudaException(
                $"{Name} (cuda:{index}) has compute capability {Architecture / 10}.{Architecture % 10} and 8.0 is needed; " +
                "use another GPU, or leave --device out to compute on the CPU.");
        }

        Multiprocessors = Attribute(ordinal, MultiprocessorCount);
        MaxSharedBytes = Attribute(ordinal, MaxSharedMemory);
        L2Bytes = Attribute(ordinal, L2CacheSize);
        nuint total;
        Check(cuDeviceTotalMem(&total, ordinal), nameof(cuDeviceTotalMem));
        TotalBytes = (long)total;
        nint context;
        Check(cuDevicePrimaryCtxRetain(&context, ordinal), nameof(cuDevicePrimaryCtxRetain));
        _context = context;
        Activate();
        Stream = new CudaStream(this);
        Memory = new CudaMemory(this);
        Staging = new HostStaging(this);
        _compiler = new KernelCompiler(this);
    }

    /// <summary>Which GPU, from 0.</summary>
    public int Index { get; }

    /// <summary>The maker's name of it.</summary>
    public string Name { get; }

    /// <summary>Ten times its compute capability: 90 for Hopper.</summary>
    public int Architecture { get; }

    /// <summary>Streaming multiprocessors.</summary>
    public int Multiprocessors { get; }

    /// <summary>Shared memory that one block may have.</summary>
    public int MaxSharedBytes { get; }

    /// <summary>Size of the second-level cache.</summary>
    public long L2Bytes { get; }

    /// <summary>All of its memory.</summary>
    public long TotalBytes { get; }

    /// <summary>The memory pool.</summary>
    public CudaMemory Memory { get; }

    /// <summary>Pinned memory on the way to the GPU.</summary>
    public HostStaging Staging { get; }

    /// <summary>Everything runs on it, in order.</summary>
    public CudaStream Stream { get; }

    /// <summary>Whether launches are being recorded for a <see cref="CudaGraph"/>.</summary>
    public bool IsCapturing { get; set; }

    /// <summary>The number of GPUs here.</summary>
    /// <exception cref="CudaException">There is no driver, or it is too old.</exception>
    public static int Count
    {
        get
        {
            NativeLibraries.Require(NativeLibraries.Driver);
            int code = cuInit(0), version, count;
            if (code != Success)
                throw new CudaException($"The NVIDIA driver finds no GPU ({Describe(code)}); check nvidia-smi, or leave --device out.");
            Check(cuDriverGetVersion(&version), nameof(cuDriverGetVersion));
            if (version < OldestDriver)
            {
                throw new CudaException(
                    $"The NVIDIA driver supports CUDA {version / 1000}.{version % 1000 / 10} and 12.0 is needed; " +
                    "update it, or leave --device out.");
            }

            Check(cuDeviceGetCount(&count), nameof(cuDeviceGetCount));
            return count;
        }
    }

    /// <summary>Opens a GPU, once.</summary>
    /// <param name="index">Which, from 0.</param>
    /// <exception cref="CudaException">It does not exist or cannot serve; the message says what to do.</exception>
    public static CudaDevice Get(int index)
    {
        lock (Gate)
        {
            if (Opened.TryGetValue(index, out CudaDevice? device)) return device;
            int count = Count, ordinal;
            if (index < 0 || index >= count)
            {
                string there = count == 0 ? "the driver finds none" : $"they are numbered 0 to {count - 1}";
                throw new CudaException($"There is no GPU {index} here: {there}; name another --device.");
            }

            Check(cuDeviceGet(&ordinal, index), nameof(cuDeviceGet));
            NativeLibraries.LoadAhead();
            Opened[index] = device = new CudaDevice(index, ordinal);
            CudaMatrixProduct.OpenAhead(device);
            return device;
        }
    }

    /// <summary>GPUs that are in use: what a test checks for leaks.</summary>
    public static CudaDevice[] InUse()
    {
        lock (Gate) return [.. Opened.Values];
    }

    /// <summary>Makes this GPU the calling thread's.</summary>
    public void Activate()
    {
        if (_current == this) return;
        Check(cuCtxSetCurrent(_context), nameof(cuCtxSetCurrent));
        _current = this;
    }

    /// <summary>A function of a kernel text, compiled for this GPU with these defines; kept.</summary>
    /// <param name="source">The text.</param>
    /// <param name="function">The function.</param>
    /// <param name="defines">What is fixed at compile time.</param>
    /// <exception cref="CudaException">There is no compiler. Whether the text compiles is told to who waits for the kernel.</exception>
    public CudaKernel Kernel(KernelSource source, string function, params ReadOnlySpan<KernelDefine> defines) =>
        _compiler.Get(source, function, defines);

    /// <summary>Waits until everything launched so far is done.</summary>
    /// <exception cref="CudaException">A kernel failed, or does not compile.</exception>
    public void Synchronize()
    {
        Activate();
        Stream.Drain();
        Check(cuStreamSynchronize(Stream.Handle), "Waiting for the GPU");
    }

    /// <summary>Free and total memory of the GPU, all processes counted.</summary>
    public (long Free, long Total) MemoryInfo()
    {
        Activate();
        nuint free, total;
        Check(cuMemGetInfo(&free, &total), nameof(cuMemGetInfo));
        return ((long)free, (long)total);
    }

    /// <inheritdoc/>
    public override string ToString() => $"cuda:{Index} ({Name})";

    private static string NameOf(int ordinal)
    {
        const int Length = 256;
        byte* name = stackalloc byte[Length];
        Check(cuDeviceGetName(name, Length, ordinal), nameof(cuDeviceGetName));
        return Encoding.UTF8.GetString(new ReadOnlySpan<byte>(name, Length)).Split('\0')[0];
    }

    private static int Attribute(int ordinal, int attribute)
    {
        int value;
        Check(cuDeviceGetAttribute(&value, attribute, ordinal), nameof(cuDeviceGetAttribute));
        return value;
    }
}
