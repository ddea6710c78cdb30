using System.Runtime.InteropServices;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// Numbers on their way from a GPU to pinned memory of the host: asking for them does not wait, reading them waits for what was
/// launched before they were asked for and no longer.
/// </summary>
internal sealed unsafe class CudaReadback : SafeHandle
{
    private readonly CudaDevice _device;
    private readonly CudaEvent _arrived;
    private readonly int _bytes;

    /// <summary>Takes room for an answer.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="bytes">The bytes of an answer.</param>
    public CudaReadback(CudaDevice device, int bytes)
        : base(0, ownsHandle: true)
    {
        (_device, _bytes) = (device, bytes);
        device.Activate();
        _arrived = new CudaEvent(device);
        void* address;
        Check(cuMemHostAlloc(&address, (nuint)bytes, 0), "Pinning memory");
        SetHandle((nint)address);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Asks for the bytes as they are after everything launched so far. The answer before must have been read.</summary>
    public void Ask(CudaStorage source)
    {
        _device.Activate();
        _device.Stream.Put(new Answering(this, source.Address));
        _arrived.Record();
    }

    /// <summary>Waits for the answer.</summary>
    /// <exception cref="CudaException">A kernel before it failed.</exception>
    public T Read<T>()
        where T : unmanaged
    {
        if (sizeof(T) != _bytes) throw new ArgumentException($"An answer of {_bytes} bytes was read as {sizeof(T)}.");
        _arrived.Wait();
        return *(T*)handle;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        _arrived.Dispose();
        return cuMemFreeHost((void*)handle) == Success;
    }

    private readonly struct Answering(CudaReadback answer, nint source) : IStreamWork
    {
        public void Put(nint stream)
        {
            if (answer.IsClosed) return; // While this waited: there is no room any more, and nobody reads it.
            Check(cuMemcpyDtoHAsync((void*)answer.handle, source, (nuint)answer._bytes, stream), nameof(cuMemcpyDtoHAsync));
        }
    }
}
