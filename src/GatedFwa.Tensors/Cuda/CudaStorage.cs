using GatedFwa.Tensors.Memory;
using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>GPU memory: a tensor's, or scratch of kernels (<c>using CudaStorage sums = device.Memory.Rent(bytes)</c>).</summary>
internal sealed unsafe class CudaStorage : Storage, IDisposable
{
    private readonly CudaStorage? _whole; // That this is a part of.

    internal CudaStorage(CudaDevice device, nint address, long bytes, CudaStorage? whole = null)
        : base(new Device(DeviceKind.Cuda, device.Index), bytes)
    {
        Cuda = device;
        Address = address;
        _whole = whole;
    }

    /// <summary>The GPU.</summary>
    internal CudaDevice Cuda { get; }

    /// <summary>Its address there.</summary>
    internal nint Address { get; }

    /// <summary>Some of the bytes; they keep the whole block from its pool for as long as they are held.</summary>
    internal CudaStorage Part(long start, long bytes)
    {
        Retain();
        return new CudaStorage(Cuda, Address + (nint)start, bytes, this);
    }

    public void Dispose() => Release();

    internal override void CopyFromHost(ReadOnlySpan<byte> source, long start)
    {
        if (source.IsEmpty) return;
        Cuda.Activate();
        Cuda.Staging.Upload(source, Address + (nint)start);
    }

    internal override void Write(PieceWriter write)
    {
        if (Bytes == 0) return;
        Cuda.Activate();
        Cuda.Staging.Upload(Bytes, Address, write);
    }

    internal override void CopyToHost(Span<byte> destination, long start)
    {
        if (destination.IsEmpty) return;
        Cuda.Activate();
        Cuda.Stream.Drain();
        fixed (byte* target = destination)
        {
            nint source = Address + (nint)start, stream = Cuda.Stream.Handle;
            Check(cuMemcpyDtoHAsync(target, source, (nuint)destination.Length, stream), nameof(cuMemcpyDtoHAsync));
            Cuda.Synchronize();
        }
    }

    internal override void CopyFrom(Storage source)
    {
        if (Bytes == 0) return;
        Cuda.Activate();
        Cuda.Stream.Put(new Copying(((CudaStorage)source).Address, Address, Bytes));
    }

    internal override void Clear()
    {
        if (Bytes == 0) return;
        Cuda.Activate();
        Cuda.Stream.Put(new Filling(Address, Bytes, 0));
    }

    internal override Storage Window(long start, long bytes) => new CudaStorage(Cuda, Address + (nint)start, bytes, this);

    private protected override void ReturnToPool()
    {
        if (_whole is null) Cuda.Memory.Return(this);
        else _whole.Release();
    }

    /// <summary>Sets every byte of a block.</summary>
    internal readonly struct Filling(nint target, long bytes, byte value) : IStreamWork
    {
        public void Put(nint stream) => Check(cuMemsetD8Async(target, value, (nuint)bytes, stream), nameof(cuMemsetD8Async));
    }

    private readonly struct Copying(nint source, nint target, long bytes) : IStreamWork
    {
        public void Put(nint stream) => Check(cuMemcpyDtoDAsync(target, source, (nuint)bytes, stream), nameof(cuMemcpyDtoDAsync));
    }
}
