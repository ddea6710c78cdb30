using System.Runtime.InteropServices;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// A sequence of launches that the GPU repeats by itself: one call of the host instead of one a kernel. What the kernels were given
/// is fixed with it, addresses included: whoever keeps a graph keeps that memory, and what changes from one run to the next is read
/// from memory.
/// </summary>
internal sealed unsafe class CudaGraph : SafeHandle
{
    private readonly CudaDevice _device;

    private CudaGraph(CudaDevice device, nint executable)
        : base(0, ownsHandle: true)
    {
        _device = device;
        SetHandle(executable);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Records launches instead of running them. They may take no memory from the pool, and nothing may be read back or loaded
    /// meanwhile: kernels are compiled by running the work once before.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="work">Puts kernels on its stream.</param>
    /// <exception cref="CudaException">The work did something that cannot be recorded.</exception>
    public static CudaGraph Capture(CudaDevice device, Action work)
    {
        device.Activate();
        nint graph = 0, stream = device.Stream.Handle;
        device.Stream.Drain(); // What waits was launched before.
        Check(cuStreamBeginCapture(stream, CaptureThisThread), "Beginning to record a graph");
        try
        {
            device.IsCapturing = true;
            work();
        }
        catch
        {
            _ = cuStreamEndCapture(stream, &graph);
            if (graph != 0) _ = cuGraphDestroy(graph);
            throw;
        }
        finally
        {
            device.IsCapturing = false;
        }

        Check(cuStreamEndCapture(stream, &graph), "Recording a graph");
        nint executable;
        int code = cuGraphInstantiateWithFlags(&executable, graph, 0);
        _ = cuGraphDestroy(graph);
        Check(code, "Preparing a graph");
        return new CudaGraph(device, executable);
    }

    /// <summary>Puts all of it on the stream.</summary>
    /// <exception cref="CudaException">It cannot be launched, or a kernel before it failed.</exception>
    public void Launch()
    {
        _device.Activate();
        _device.Stream.Drain(); // A graph in line would have to be kept for as long.
        Check(cuGraphLaunch(handle, _device.Stream.Handle), "Launching a graph");
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => cuGraphExecDestroy(handle) == Success;
}
