using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Testing;

/// <summary>Lets one thread compute, for as long as it lives.</summary>
public sealed class SingleThread : IDisposable
{
    private readonly int _before = WorkerPool.Shared.Threads;

    public SingleThread() => WorkerPool.Shared.Threads = 1;

    public void Dispose() => WorkerPool.Shared.Threads = _before;
}
