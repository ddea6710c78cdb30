using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Cuda;

/// <summary>The CUDA driver, as far as it is used. Call <see cref="NativeLibraries.Require"/> first.</summary>
internal static unsafe partial class CudaDriver
{
    public const int Success = 0, OutOfMemory = 2, NotReady = 600;

    // CUdevice_attribute
    public const int MultiprocessorCount = 16, L2CacheSize = 38, MajorVersion = 75, MinorVersion = 76, MaxSharedMemory = 97;

    // CUfunction_attribute
    public const int MaxDynamicSharedMemory = 8, PreferredSharedMemoryCarveout = 9;

    // CUevent_flags
    public const uint EventDefault = 0, EventWithoutTiming = 2;

    // CUstreamCaptureMode
    public const int CaptureThisThread = 1;

    // CUlaunchAttributeID
    public const int CooperativeLaunch = 2, ProgrammaticStreamSerialization = 6;

    // CUstream_flags
    public const uint NonBlockingStream = 1;

    private const string Library = NativeLibraries.Driver;

    /// <summary>Throws unless a call succeeded.</summary>
    /// <param name="code">What it returned.</param>
    /// <param name="call">Its name and whatever helps to understand it.</param>
    public static void Check(int code, string call)
    {
        if (code != Success) throw new CudaException($"{call} failed: {Describe(code)}.");
    }

    /// <summary>An error's name and meaning.</summary>
    public static string Describe(int code)
    {
        byte* name = null, text = null;
        if (cuGetErrorName(code, &name) != Success || cuGetErrorString(code, &text) != Success) return $"error {code}";
        return $"{Marshal.PtrToStringUTF8((nint)text)} ({Marshal.PtrToStringUTF8((nint)name)})";
    }

    [LibraryImport(Library)] public static partial int cuInit(uint flags);
    [LibraryImport(Library)] public static partial int cuDriverGetVersion(int* version);
    [LibraryImport(Library)] public static partial int cuGetErrorName(int code, byte** text);
    [LibraryImport(Library)] public static partial int cuGetErrorString(int code, byte** text);
    [LibraryImport(Library)] public static partial int cuDeviceGetCount(int* count);
    [LibraryImport(Library)] public static partial int cuDeviceGet(int* device, int ordinal);
    [LibraryImport(Library)] public static partial int cuDeviceGetName(byte* name, int length, int device);
    [LibraryImport(Library, EntryPoint = "cuDeviceTotalMem_v2")] public static partial int cuDeviceTotalMem(nuint* bytes, int device);
    [LibraryImport(Library)] public static partial int cuDeviceGetAttribute(int* value, int attribute, int device);
    [LibraryImport(Library)] public static partial int cuDevicePrimaryCtxRetain(nint* context, int device);
    [LibraryImport(Library)] public static partial int cuCtxSetCurrent(nint context);
    [LibraryImport(Library, EntryPoint = "cuMemGetInfo_v2")] public static partial int cuMemGetInfo(nuint* free, nuint* total);
    [LibraryImport(Library, EntryPoint = "cuMemAlloc_v2")] public static partial int cuMemAlloc(nint* address, nuint bytes);
    [LibraryImport(Library, EntryPoint = "cuMemFree_v2")] public static partial int cuMemFree(nint address);
    [LibraryImport(Library)] public static partial int cuMemHostAlloc(void** address, nuint bytes, uint flags);
    [LibraryImport(Library)] public static partial int cuMemFreeHost(void* address);

    [LibraryImport(Library, EntryPoint = "cuMemcpyHtoDAsync_v2")]
    public static partial int cuMemcpyHtoDAsync(nint target, void* source, nuint bytes, nint stream);

    [LibraryImport(Library, EntryPoint = "cuMemcpyDtoHAsync_v2")]
    public static partial int cuMemcpyDtoHAsync(void* target, nint source, nuint bytes, nint stream);

    [LibraryImport(Library, EntryPoint = "cuMemcpyDtoDAsync_v2")]
    public static partial int cuMemcpyDtoDAsync(nint target, nint source, nuint bytes, nint stream);

    [LibraryImport(Library)] public static partial int cuMemsetD8Async(nint target, byte value, nuint bytes, nint stream);
    [LibraryImport(Library)] public static partial int cuStreamCreate(nint* stream, uint flags);
    [LibraryImport(Library)] public static partial int cuStreamSynchronize(nint stream);
    [LibraryImport(Library, EntryPoint = "cuStreamBeginCapture_v2")] public static partial int cuStreamBeginCapture(nint stream, int mode);
    [LibraryImport(Library)] public static partial int cuStreamEndCapture(nint stream, nint* graph);
    [LibraryImport(Library)] public static partial int cuGraphInstantiateWithFlags(nint* executable, nint graph, ulong flags);
    [LibraryImport(Library)] public static partial int cuGraphLaunch(nint executable, nint stream);
    [LibraryImport(Library)] public static partial int cuGraphExecDestroy(nint executable);
    [LibraryImport(Library)] public static partial int cuGraphDestroy(nint graph);
    [LibraryImport(Library)] public static partial int cuEventCreate(nint* cudaEvent, uint flags);
    [LibraryImport(Library, EntryPoint = "cuEventDestroy_v2")] public static partial int cuEventDestroy(nint cudaEvent);
    [LibraryImport(Library)] public static partial int cuEventRecord(nint cudaEvent, nint stream);
    [LibraryImport(Library)] public static partial int cuEventSynchronize(nint cudaEvent);
    [LibraryImport(Library)] public static partial int cuEventQuery(nint cudaEvent);
    [LibraryImport(Library)] public static partial int cuEventElapsedTime(float* milliseconds, nint start, nint end);
    [LibraryImport(Library)] public static partial int cuModuleLoadData(nint* module, void* image);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int cuModuleGetFunction(nint* function, nint module, string name);

    [LibraryImport(Library)] public static partial int cuFuncSetAttribute(nint function, int attribute, int value);

    [LibraryImport(Library)]
    public static partial int cuLaunchKernel(
        nint function,
        uint gridX,
        uint gridY,
        uint gridZ,
        uint blockX,
        uint blockY,
        uint blockZ,
        uint sharedBytes,
        nint stream,
        void** parameters,
        void** extra);

    [LibraryImport(Library)]
    public static partial int cuLaunchKernelEx(LaunchConfig* config, nint function, void** parameters, void** extra);

    [LibraryImport(Library)]
    public static partial int cuTensorMapEncodeTiled(
        void* map,
        int type,
        uint rank,
        nint address,
        ulong* extents,
        ulong* strides,
        uint* box,
        uint* elementStrides,
        int interleave,
        int swizzle,
        int promotion,
        int fill);

    /// <summary>CUlaunchConfig.</summary>
    public struct LaunchConfig
    {
        public uint GridX, GridY, GridZ, BlockX, BlockY, BlockZ, SharedBytes;
        public nint Stream;
        public LaunchAttribute* Attributes;
        public uint AttributeCount;
    }

    /// <summary>CUlaunchAttribute: what it is, then 64 bytes of value, of which an int is used.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 72)]
    public struct LaunchAttribute
    {
        [FieldOffset(0)] public int Id;
        [FieldOffset(8)] public int Value;
    }
}
