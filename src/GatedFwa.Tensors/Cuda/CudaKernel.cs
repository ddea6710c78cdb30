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

/// <summary>A kernel of one GPU, compiled or on the way.</summary>
internal sealed unsafe class CudaKernel
{
    /// <summary>Set to 1 to wait after every launch, so that a failure names the kernel that failed.</summary>
    public const string SynchronousVariable = "GATEDFWA_CUDA_SYNC";

    private const int OverlappingArchitecture = 90; // The first whose kernels can wait for one another.
    private const int FreeSharedBytes = 32 << 10; // More is asked for: it must be above 48 KB, what a kernel declares itself included.

    private static readonly bool IsSynchronous = Environment.GetEnvironmentVariable(SynchronousVariable) == "1";

    private readonly CudaDevice _device;
    private readonly Task<nint> _module;
    private readonly string _functionName, _name;
    private nint _function; // 0 until the module is there.
    private int _sharedBytes = FreeSharedBytes;
    private bool _hasMostShared;

    /// <summary>A function of a module that may still be on the way; if it is not, the function is looked up at once.</summary>
    internal CudaKernel(CudaDevice device, Task<nint> module, string function, string name)
    {
        (_device, _module, _functionName, _name) = (device, module, function, name);
        if (module.IsCompletedSuccessfully) Find();
    }

    private bool IsReady => _function != 0 || _module.IsCompleted;

    /// <summary>Puts the kernel on the stream. One that is still being compiled waits in line.</summary>
    /// <param name="shape">How many threads.</param>
    /// <param name="arguments">In the order of its parameters.</param>
    /// <exception cref="CudaException">It cannot be launched, or one before it failed.</exception>
    public void Launch(LaunchShape shape, params ReadOnlySpan<KernelArgument> arguments)
    {
        if (shape.Blocks == 0 || shape.BlocksY == 0 || shape.BlocksZ == 0) return;
        _device.Activate();
        // Who records a graph or wants to know what fails waits for the compiler here.
        if (_device.Stream.IsOpen && (IsReady || IsSynchronous || _device.IsCapturing)) Put(_device.Stream.Handle, shape, arguments);
        else _device.Stream.PutInLine(new InLine(this, shape, arguments.ToArray()));
    }

    private void Find()
    {
        nint function;
        Check(cuModuleGetFunction(&function, _module.GetAwaiter().GetResult(), _functionName), $"Finding {_name}");
        _function = function;
    }

    private void Put(nint stream, LaunchShape shape, ReadOnlySpan<KernelArgument> arguments)
    {
        if (_function == 0) Find();
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
            Stream = stream,
            Attributes = attributes,
            AttributeCount = attributeCount,
        };
        int code = cuLaunchKernelEx(&config, _function, pointers, null);
        if (code == Success && IsSynchronous && !_device.IsCapturing) code = cuStreamSynchronize(stream);
        if (code != Success) throw Failed(code, shape, arguments);
    }

    private CudaException Failed(int code, LaunchShape shape, ReadOnlySpan<KernelArgument> arguments) => new(
        $"The kernel {_name} failed on {_device} with {shape.Blocks}×{shape.BlocksY}×{shape.BlocksZ} blocks of {shape.Threads} threads, " +
        $"{shape.SharedBytes} bytes shared and the arguments {KernelArgument.Describe(arguments)}: {Describe(code)}. " +
        $"One launched before it may be at fault: {SynchronousVariable}=1 tells.");

    /// <summary>A launch of a kernel that is not there yet, or behind one that is not.</summary>
    private sealed class InLine(CudaKernel kernel, LaunchShape shape, KernelArgument[] arguments) : IStreamWork
    {
        public bool IsReady => kernel.IsReady;

        public void Put(nint stream) => kernel.Put(stream, shape, arguments);
    }
}
