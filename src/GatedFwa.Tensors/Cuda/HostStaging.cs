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

    private readonly Lock _gate = new();
    private readonly Queue<Block> _blocks = [];

    /// <summary>Copies host bytes to the GPU; they may change as soon as this returns.</summary>
    public void Upload(ReadOnlySpan<byte> source, nint target)
    {
        fixed (byte* bytes = source)
        {
            byte* from = bytes;
            Upload(source.Length, target, (piece, start, length) => Buffer.MemoryCopy(from + start, piece, BlockBytes, length));
        }
    }

    /// <summary>Sends bytes to the GPU as they are written.</summary>
    public void Upload(long bytes, nint target, PieceWriter write)
    {
        lock (_gate)
        {
            for (long start = 0; start < bytes; start += BlockBytes)
            {
                long length = Math.Min(BlockBytes, bytes - start);
                Block block = Next();
                write(block.Address, start, length);
                Send(block, target + (nint)start, length);
            }
        }
    }

    private void Send(Block block, nint target, long bytes)
    {
        device.Stream.Put(new Sending(block, target, bytes));
        block.Taken.Record();
        _blocks.Enqueue(block);
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

    private readonly struct Sending(Block block, nint target, long bytes) : IStreamWork
    {
        public void Put(nint stream) =>
            Check(cuMemcpyHtoDAsync(target, block.Address, (nuint)bytes, stream), nameof(cuMemcpyHtoDAsync));
    }
}
