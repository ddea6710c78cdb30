using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>How many threads run a kernel, and what they share.</summary>
/// <param name="Blocks">Blocks along x.</param>
/// <param name="Threads">Threads of a block.</param>
/// <param name="SharedBytes">Dynamic shared memory of a block.</param>
/// <param name="BlocksY">Blocks along y.</param>
/// <param name="BlocksZ">Blocks along z.</param>
/// <param name="Overlaps">
/// May begin while the kernel before it runs; then it waits for that kernel itself (<c>programmatic.cuh</c>).
/// </param>
/// <param name="MostShared">
/// Multiprocessors have as much shared memory as they can, whatever this kernel needs. They are divided anew only when nothing runs
/// there: kernels that want to overlap agree.
/// </param>
/// <param name="Cooperative">
/// All blocks run at the same time and may wait for one another (<c>exchange.cuh</c>). The driver refuses more than fit on the GPU.
/// </param>
internal readonly record struct LaunchShape(
    int Blocks,
    int Threads,
    int SharedBytes = 0,
    int BlocksY = 1,
    int BlocksZ = 1,
    bool Overlaps = false,
    bool MostShared = false,
    bool Cooperative = false);

/// <summary>A compiled kernel of one GPU.</summary>
internal sealed unsafe class CudaKernel
{
    /// <summary>Set to 1 to wait after every launch, so that a failure names the kernel that failed.</summary>
    public const string SynchronousVariable = "GATEDFWA_CUDA_SYNC";

    private const int OverlappingArchitecture = 90; // The first whose kernels can wait for one another.
    private const int FreeSharedBytes = 32 << 10; // More is asked for: it must be above 48 KB, what a kernel declares itself included.

    private static readonly bool IsSynchronous = Environment.GetEnvironmentVariable(SynchronousVariable) == "1";

    private readonly CudaDevice _device;
    private readonly nint _function;
    private readonly string _name;
    private int _sharedBytes = FreeSharedBytes;
    private bool _hasMostShared;

    internal CudaKernel(CudaDevice device, nint function, string name) => (_device, _function, _name) = (device, function, name);

    /// <summary>Puts the kernel on the stream.</summary>
    /// <param name="shape">How many threads.</param>
    /// <param name="arguments">In the order of its parameters.</param>
    /// <exception cref="CudaException">It cannot be launched, or one before it failed.</exception>
    public void Launch(LaunchShape shape, params ReadOnlySpan<KernelArgument> arguments)
    {
        if (shape.Blocks == 0 || shape.BlocksY == 0 || shape.BlocksZ == 0) return;
        _device.Activate();
        if (shape.SharedBytes > _sharedBytes)
        {
            Check(
                cuFuncSetAttribute(_function, MaxDynamicSharedMemory, shape.SharedBytes),
                $"Asking for {shape.SharedBytes} bytes of shared memory for {_name}");
            _sharedBytes = shape.SharedBytes;
        }

        if (shape.MostShared && !_hasMostShared)
        {
            Check(cuFuncSetAttribute(_function, PreferredSharedMemoryCarveout, 100), $"Asking for the most shared memory for {_name}");
            _hasMostShared = true;
        }

        byte* values = stackalloc byte[(arguments.Length + 1) * KernelArgument.MaxBytes];
        void** pointers = stackalloc void*[arguments.Length + 1];
        byte* next = (byte*)(((nint)values + KernelArgument.Alignment - 1) & -KernelArgument.Alignment);
        for (int i = 0; i < arguments.Length; i++)
        {
            pointers[i] = next;
            next += arguments[i].Write(next);
        }

        LaunchAttribute* attributes = stackalloc LaunchAttribute[2];
        uint attributeCount = 0;
        if (shape.Overlaps && _device.Architecture >= OverlappingArchitecture)
            attributes[attributeCount++] = new LaunchAttribute { Id = ProgrammaticStreamSerialization, Value = 1 };
        if (shape.Cooperative) attributes[attributeCount++] = new LaunchAttribute { Id = CooperativeLaunch, Value = 1 };
        var config = new LaunchConfig
        {
            GridX = (uint)shape.Blocks,
            GridY = (uint)shape.BlocksY,
            GridZ = (uint)shape.BlocksZ,
            BlockX = (uint)shape.Threads,
            BlockY = 1,
            BlockZ = 1,
            SharedBytes = (uint)shape.SharedBytes,
            Stream = _device.Stream,
            Attributes = attributes,
            AttributeCount = attributeCount,
        };
        int code = cuLaunchKernelEx(&config, _function, pointers, null);
        if (code == Success && IsSynchronous && !_device.IsCapturing) code = cuStreamSynchronize(_device.Stream);
        if (code != Success) throw Failed(code, shape, arguments);
    }

    private CudaException Failed(int code, LaunchShape shape, ReadOnlySpan<KernelArgument> arguments) => new(
        $"The kernel {_name} failed on {_device} with {shape.Blocks}×{shape.BlocksY}×{shape.BlocksZ} blocks of {shape.Threads} threads, " +
        $"{shape.SharedBytes} bytes shared and the arguments {KernelArgument.Describe(arguments)}: {Describe(code)}. " +
        $"One launched before it may be at fault: {SynchronousVariable}=1 tells.");
}
