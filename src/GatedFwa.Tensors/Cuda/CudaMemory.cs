using GatedFwa.Tensors.Memory;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>
/// The memory pool of a GPU. A block may be handed out again while kernels still read it: whatever writes it next is behind them
/// on the stream.
/// </summary>
/// <remarks>With <see cref="CpuMemory.Checked"/> on (tests) blocks come filled with NaN and fenced, as on the host.</remarks>
internal sealed unsafe class CudaMemory(CudaDevice device) : MemoryPool
{
    private const int FenceBytes = 256; // Keeps blocks aligned as the driver aligns them.
    private const byte Poison = 0xFF, FenceByte = 0xA5;
    private const double BytesPerGigabyte = 1 << 30;

    private static int Extra => CpuMemory.Checked ? 2 * FenceBytes : 0;

    /// <summary>Scratch for kernels; dispose it to give it back.</summary>
    public CudaStorage Rent(long bytes)
    {
        device.Activate();
        nint block = Take(bytes, Extra);
        if (!CpuMemory.Checked) return new CudaStorage(device, block, bytes);
        Fill(block, FenceBytes, FenceByte);
        Fill(block + FenceBytes, bytes, Poison);
        Fill(block + FenceBytes + (nint)bytes, FenceBytes, FenceByte);
        return new CudaStorage(device, block + FenceBytes, bytes);
    }

    public override Storage RentBytes(long bytes) => Rent(bytes);

    internal void Return(CudaStorage storage)
    {
        nint block = storage.Address;
        if (CpuMemory.Checked)
        {
            block -= FenceBytes;
            bool intact = FenceIntact(block) && FenceIntact(storage.Address + (nint)storage.Bytes);
            if (!intact) throw new InvalidOperationException($"A kernel wrote outside a block of {storage.Bytes} bytes on {device}.");
            Fill(storage.Address, storage.Bytes, Poison);
        }

        Keep(block, storage.Bytes, Extra);
    }

    private protected override nint Reserve(long capacity)
    {
        nint address;
        int code = cuMemAlloc(&address, (nuint)capacity);
        if (code == OutOfMemory)
        {
            // Blocks of other sizes may be lying idle. Nobody may be using them when they go.
            device.Synchronize();
            Trim();
            code = cuMemAlloc(&address, (nuint)capacity);
        }

        if (code == OutOfMemory)
        {
            (long free, long total) = device.MemoryInfo();
            throw new CudaException(
                $"{device} is out of memory: {capacity / BytesPerGigabyte:0.00} GiB were asked for, {free / BytesPerGigabyte:0.00} of " +
                $"{total / BytesPerGigabyte:0.0} GiB are free and this program holds {Statistics.ReservedBytes / BytesPerGigabyte:0.00}; " +
                "use a smaller --batch, --context or model.");
        }

        Check(code, $"Taking {capacity} bytes on {device}");
        return address;
    }

    private protected override void Free(nint block)
    {
        device.Activate();
        device.Stream.Drain(); // What waits may use it.
        Check(cuMemFree(block), nameof(cuMemFree));
    }

    private void Fill(nint address, long bytes, byte value) => device.Stream.Put(new CudaStorage.Filling(address, bytes, value));

    private bool FenceIntact(nint fence)
    {
        device.Activate();
        device.Stream.Drain();
        byte* copy = stackalloc byte[FenceBytes];
        Check(cuMemcpyDtoHAsync(copy, fence, FenceBytes, device.Stream.Handle), nameof(cuMemcpyDtoHAsync));
        device.Synchronize();
        return new ReadOnlySpan<byte>(copy, FenceBytes).IndexOfAnyExcept(FenceByte) < 0;
    }
}
