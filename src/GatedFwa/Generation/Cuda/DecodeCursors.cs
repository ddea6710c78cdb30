using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Generation;

/// <summary>
/// Where each text of a batch is, in GPU memory: a graph's kernels read it and move it on themselves. The host, which counts along,
/// writes it only where it has moved otherwise: by a prompt, a reset.
/// </summary>
internal sealed class DecodeCursors : IDisposable
{
    private readonly int _batch;
    private readonly CudaStorage _positions, _slots;
    private Place? _place;

    public DecodeCursors(CudaDevice device, int batch)
    {
        _batch = batch;
        _positions = device.Memory.Rent(batch * sizeof(long));
        _slots = device.Memory.Rent(batch * 2L * sizeof(int));
    }

    /// <summary>Address of int64 [B]: tokens of each text.</summary>
    public nint Positions => _positions.Address;

    /// <summary>Address of int32 [B, 2]: one past the newest slot of each text's rings, and the slots in use.</summary>
    public nint Slots => _slots.Address;

    /// <summary>Before a step: says where the texts are, if the GPU does not know.</summary>
    public void Set(long position, KeyValueRing ring)
    {
        var place = new Place(position, ring.Next, ring.Count);
        if (place == _place) return;
        long[] positions = new long[_batch];
        Array.Fill(positions, position);
        int[] slots = [.. Enumerable.Range(0, 2 * _batch).Select(i => i % 2 == 0 ? ring.Next : ring.Count)];
        _positions.CopyFromHost(MemoryMarshal.AsBytes(positions.AsSpan()), 0);
        _slots.CopyFromHost(MemoryMarshal.AsBytes(slots.AsSpan()), 0);
        _place = place;
    }

    /// <summary>After a step: the GPU has come as far.</summary>
    public void MovedOn(long position, KeyValueRing ring) => _place = new(position, ring.Next, ring.Count);

    public void Dispose()
    {
        _positions.Dispose();
        _slots.Dispose();
    }

    private sealed record Place(long Position, int Next, int Count);
}
