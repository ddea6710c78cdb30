using GatedFwa.Tensors.Memory;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// Pinned memory on the way to a GPU. A copy from ordinary memory would first wait for all kernels; from here it takes its turn on
/// the stream and the host goes on at once.
/// </summary>
internal sealed unsafe class HostStaging(CudaDevice device)
{
    private const int BlockBytes = 4 << 20;
    private const long MostInLine = 8 * BlockBytes;

    private readonly Lock _gate = new();
    private readonly Queue<Block> _blocks = [];
    private long _inLine; // Bytes.

    /// <summary>
    /// Copies host bytes to the GPU; they may change as soon as this returns. Behind a kernel that is still being compiled they wait in
    /// ordinary memory: the few pinned blocks would soon be full of a few bytes each.
    /// </summary>
    public void Upload(ReadOnlySpan<byte> source, nint target)
    {
        if (device.Stream.IsOpen || Volatile.Read(ref _inLine) + source.Length > MostInLine)
        {
            device.Stream.Drain();
            Send(source, target, device.Stream.Handle);
        }
        else
        {
            Interlocked.Add(ref _inLine, source.Length);
            device.Stream.PutInLine(new Waiting(this, source.ToArray(), target));
        }
    }

    /// <summary>Sends bytes to the GPU as they are written.</summary>
    public void Upload(long bytes, nint target, PieceWriter write)
    {
        device.Stream.Drain();
        Send(bytes, target, write, device.Stream.Handle);
    }

    private void Send(ReadOnlySpan<byte> source, nint target, nint stream)
    {
        fixed (byte* bytes = source)
        {
            byte* from = bytes;
            Send(source.Length, target, (piece, start, length) => Buffer.MemoryCopy(from + start, piece, BlockBytes, length), stream);
        }
    }

    private void Send(long bytes, nint target, PieceWriter write, nint stream)
    {
        lock (_gate)
        {
            for (long start = 0; start < bytes; start += BlockBytes)
            {
                long length = Math.Min(BlockBytes, bytes - start);
                Block block = Next();
                write(block.Address, start, length);
                Check(cuMemcpyHtoDAsync(target + (nint)start, block.Address, (nuint)length, stream), nameof(cuMemcpyHtoDAsync));
                block.Taken.Record(stream);
                _blocks.Enqueue(block);
            }
        }
    }

    /// <summary>The block that was used longest ago, if the GPU has read it, or a new one; never more than a few wait.</summary>
    private Block Next()
    {
        const int Enough = 8;
        if (_blocks.TryPeek(out Block? oldest) && (_blocks.Count >= Enough || oldest.Taken.IsReached))
        {
            oldest.Taken.Wait();
            return _blocks.Dequeue();
        }

        void* address;
        Check(cuMemHostAlloc(&address, BlockBytes, 0), "Pinning memory");
        return new Block((byte*)address, new CudaEvent(device));
    }

    private sealed class Block(byte* address, CudaEvent taken)
    {
        public byte* Address { get; } = address;

        public CudaEvent Taken { get; } = taken;
    }

    private sealed class Waiting(HostStaging staging, byte[] bytes, nint target) : IStreamWork
    {
        public void Put(nint stream)
        {
            Interlocked.Add(ref staging._inLine, -bytes.Length);
            staging.Send(bytes, target, stream);
        }
    }
}
