using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Memory;

/// <summary>
/// Host memory, aligned to a cache line. Also serves kernels directly as scratch: <c>using var panel = CpuMemory.Rent(floats)</c>.
/// </summary>
internal sealed unsafe class CpuStorage : Storage, IDisposable
{
    private const long PageBytes = 2 << 20; // The largest that the system hands out; whoever touches it first clears all of it.

    private readonly CpuMemory _pool;

    internal CpuStorage(CpuMemory pool, byte* pointer, long bytes)
        : base(Device.Cpu, bytes)
    {
        _pool = pool;
        Pointer = pointer;
    }

    internal byte* Pointer { get; }

    internal float* Floats => (float*)Pointer;

    internal override void CopyFromHost(ReadOnlySpan<byte> source, long start) =>
        source.CopyTo(new Span<byte>(Pointer + start, source.Length));

    internal override void Write(PieceWriter write) => write(Pointer, 0, Bytes);

    internal override void CopyToHost(Span<byte> destination, long start) =>
        new ReadOnlySpan<byte>(Pointer + start, destination.Length).CopyTo(destination);

    internal override void CopyFrom(Storage source) => NativeMemory.Copy(((CpuStorage)source).Pointer, Pointer, (nuint)Bytes);

    // By all threads: in memory that is touched for the first time the system clears each page before this does.
    internal override void Clear() => WorkerPool.Shared.For((int)((Bytes + PageBytes - 1) / PageBytes), page =>
    {
        long start = page * PageBytes;
        NativeMemory.Clear(Pointer + start, (nuint)Math.Min(PageBytes, Bytes - start));
    });

    internal override Storage Window(long start, long bytes) => new CpuStorage(_pool, Pointer + start, bytes);

    private protected override void ReturnToPool() => _pool.Return(this);

    public void Dispose() => Release();
}
