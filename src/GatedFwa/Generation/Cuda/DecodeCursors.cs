using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Generation;

/// <summary>
/// Where each text of a batch is, in GPU memory: a graph's kernels read it and move it on themselves. The host, which counts along,
/// writes it only where it has moved otherwise: by a prompt, a reset, a text that becomes idle or no longer is.
/// </summary>
/// <remarks>An idle text goes through a step with the others and comes nowhere: it stands one slot further than it is, on the slot that
/// its next token will take, where it does no harm. In a full ring that was the oldest, which the host's cursor goes on to count: a
/// past is at most W − 1 positions, so nothing reads it.</remarks>
internal sealed class DecodeCursors : IDisposable
{
    private readonly CudaStorage _positionsThere, _slotsThere, _idleThere;
    private readonly long[] _positions;
    private readonly RingCursor[] _slots;
    private readonly int[] _idle;
    private bool _areThere; // False during a step, and after one that failed on the way.

    public DecodeCursors(CudaDevice device, int batch)
    {
        (_positions, _slots, _idle) = (new long[batch], new RingCursor[batch], new int[batch]);
        _positionsThere = device.Memory.Rent(batch * sizeof(long));
        _slotsThere = device.Memory.Rent(batch * 2L * sizeof(int));
        _idleThere = device.Memory.Rent(batch * sizeof(int));
    }

    /// <summary>Address of int64 [B]: tokens of each text.</summary>
    public nint Positions => _positionsThere.Address;

    /// <summary>Address of int32 [B, 2]: one past the newest slot of each text's rings, and the slots in use.</summary>
    public nint Slots => _slotsThere.Address;

    /// <summary>Address of int32 [B]: 1 for texts that the step leaves as they are, 0 for the others.</summary>
    public nint Idle => _idleThere.Address;

    /// <summary>Before a step: says where the texts are, if the GPU does not know.</summary>
    public void Set(DecodeState state, ReadOnlySpan<bool> idle)
    {
        KeyValueRing ring = state.Layers[0].Ring;
        for (int text = 0; text < _positions.Length; text++)
        {
            bool isIdle = !idle.IsEmpty && idle[text];
            RingCursor slot = ring.Cursors[text];
            if (isIdle) slot = slot.Plus(1, ring.Keys.Capacity);
            int flag = isIdle ? 1 : 0;
            _areThere &= (_positions[text], _slots[text], _idle[text]) == (state.Positions[text], slot, flag);
            (_positions[text], _slots[text], _idle[text]) = (state.Positions[text], slot, flag);
        }

        if (!_areThere)
        {
            _positionsThere.CopyFromHost(MemoryMarshal.AsBytes(_positions.AsSpan()), 0);
            _slotsThere.CopyFromHost(MemoryMarshal.AsBytes(_slots.AsSpan()), 0);
            _idleThere.CopyFromHost(MemoryMarshal.AsBytes(_idle.AsSpan()), 0);
        }

        _areThere = false;
    }

    /// <summary>After a step: the GPU has come as far.</summary>
    public void MovedOn(int capacity)
    {
        for (int text = 0; text < _positions.Length; text++)
        {
            if (_idle[text] != 0) continue;
            (_positions[text], _slots[text]) = (_positions[text] + 1, _slots[text].Plus(1, capacity));
        }

        _areThere = true;
    }

    public void Dispose()
    {
        _positionsThere.Dispose();
        _slotsThere.Dispose();
        _idleThere.Dispose();
    }
}
