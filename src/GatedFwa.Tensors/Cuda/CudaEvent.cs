using System.Runtime.InteropServices;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>A mark on a GPU's stream: whether the work before it is done, and how long it took.</summary>
internal sealed unsafe class CudaEvent : SafeHandle
{
    private readonly CudaDevice _device;
    private int _inLine; // Times that it waits to be set.

    /// <summary>Makes a mark that is not set.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="timed">Whether it can tell times.</param>
    public CudaEvent(CudaDevice device, bool timed = false)
        : base(0, ownsHandle: true)
    {
        _device = device;
        device.Activate();
        nint created;
        Check(cuEventCreate(&created, timed ? EventDefault : EventWithoutTiming), nameof(cuEventCreate));
        SetHandle(created);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Whether the work before the mark is done.</summary>
    public bool IsReached
    {
        get
        {
            _device.Activate();
            if (IsInLine) _device.Stream.Proceed();
            if (IsInLine) return false;
            int code = cuEventQuery(handle);
            if (code != NotReady) Check(code, nameof(cuEventQuery));
            return code == Success;
        }
    }

    private bool IsInLine => Volatile.Read(ref _inLine) > 0;

    /// <summary>Sets the mark behind all work so far.</summary>
    public void Record()
    {
        _device.Activate();
        CudaStream stream = _device.Stream;
        if (stream.IsOpen)
        {
            Record(stream.Handle);
        }
        else
        {
            Interlocked.Increment(ref _inLine);
            stream.PutInLine(new Mark(this));
        }
    }

    /// <summary>Sets the mark behind all work that is on the stream, whatever waits in line.</summary>
    public void Record(nint stream) => Check(cuEventRecord(handle, stream), nameof(cuEventRecord));

    /// <summary>Waits for the work before the mark.</summary>
    public void Wait()
    {
        _device.Activate();
        if (IsInLine) _device.Stream.Drain();
        Check(cuEventSynchronize(handle), "Waiting for the GPU");
    }

    /// <summary>Milliseconds from an earlier mark to this one; both are reached and timed.</summary>
    public float MillisecondsSince(CudaEvent start)
    {
        float milliseconds;
        Check(cuEventElapsedTime(&milliseconds, start.handle, handle), nameof(cuEventElapsedTime));
        return milliseconds;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => cuEventDestroy(handle) == Success;

    private sealed class Mark(CudaEvent mark) : IStreamWork
    {
        public void Put(nint stream)
        {
            Interlocked.Decrement(ref mark._inLine);
            if (!mark.IsClosed) mark.Record(stream); // Else nobody asks any more.
        }
    }
}
