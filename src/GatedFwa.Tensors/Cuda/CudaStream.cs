using System.Runtime.ExceptionServices;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>Something that goes on a <see cref="CudaStream"/>.</summary>
internal interface IStreamWork
{
    /// <summary>Whether <see cref="Put"/> would not have to wait for a kernel that is being compiled.</summary>
    bool IsReady => true;

    /// <summary>Puts it on the stream.</summary>
    void Put(nint stream);
}

/// <summary>
/// The one stream of a GPU, and the line before it. A kernel that is still being compiled waits in line, and whatever comes after it
/// waits behind it: the host goes on and asks for more kernels, which are compiled meanwhile, side by side. Who needs the stream
/// itself first lets the line go (<see cref="Drain"/>). Mostly nobody waits and work goes straight on.
/// </summary>
internal sealed unsafe class CudaStream
{
    private readonly CudaDevice _device;
    private readonly Lock _gate = new();
    private readonly Queue<IStreamWork> _line = [];
    private volatile bool _isOpen = true;
    private ExceptionDispatchInfo? _failure;

    /// <summary>Makes the stream of a GPU, which is the calling thread's.</summary>
    public CudaStream(CudaDevice device)
    {
        _device = device;
        nint stream;
        Check(cuStreamCreate(&stream, NonBlockingStream), nameof(cuStreamCreate));
        Handle = stream;
    }

    /// <summary>The driver's name of it, for who has seen to it that nobody waits.</summary>
    public nint Handle { get; }

    /// <summary>Whether nobody waits, and nothing has failed on the way.</summary>
    public bool IsOpen => _isOpen;

    /// <summary>Puts work on the stream that is ready by itself: now, or behind what waits.</summary>
    /// <exception cref="CudaException">It failed, or something that waited before it did.</exception>
    public void Put<TWork>(TWork work)
        where TWork : struct, IStreamWork
    {
        if (_isOpen) work.Put(Handle);
        else PutInLine(work);
    }

    /// <summary>Puts work at the end of the line, which moves on as far as kernels are there.</summary>
    /// <exception cref="CudaException">Something that waited failed.</exception>
    public void PutInLine(IStreamWork work)
    {
        lock (_gate)
        {
            _failure?.Throw();
            _line.Enqueue(work);
            _isOpen = false;
            MoveOn(waits: false);
        }
    }

    /// <summary>Puts on the stream whatever waits: waits for its kernels.</summary>
    /// <exception cref="CudaException">
    /// One of them does not compile, or something failed. What was behind it is gone and memory holds anything, so that whoever comes
    /// later is told the same.
    /// </exception>
    public void Drain() => MoveOnIfClosed(waits: true);

    /// <summary>Puts on the stream what waits no longer.</summary>
    /// <exception cref="CudaException">As for <see cref="Drain"/>.</exception>
    public void Proceed() => MoveOnIfClosed(waits: false);

    private void MoveOnIfClosed(bool waits)
    {
        if (_isOpen) return;
        lock (_gate)
        {
            _failure?.Throw();
            MoveOn(waits);
        }
    }

    private void MoveOn(bool waits)
    {
        _device.Activate();
        try
        {
            while (_line.TryPeek(out IStreamWork? first) && (waits || first.IsReady))
            {
                first.Put(Handle);
                _line.Dequeue();
            }
        }
        catch (Exception exception)
        {
            _line.Clear();
            _failure = ExceptionDispatchInfo.Capture(exception);
            throw;
        }

        _isOpen = _line.Count == 0;
    }
}
