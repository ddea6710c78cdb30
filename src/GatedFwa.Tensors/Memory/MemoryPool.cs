using System.Numerics;

namespace GatedFwa.Tensors.Memory;

/// <summary>
/// Blocks of one device. They come in eight sizes per power of two (at most 12.5% waste) and are kept for the next request, so
/// that a training step after the first takes nothing from the system.
/// </summary>
internal abstract class MemoryPool
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, Stack<nint>> _free = [];
    private long _liveBlocks, _liveBytes, _peakBytes, _reservedBytes;

    /// <summary>What the pool holds now.</summary>
    public MemoryStatistics Statistics
    {
        get
        {
            lock (_gate) return new(_liveBlocks, _liveBytes, _peakBytes, _reservedBytes);
        }
    }

    /// <summary>Takes a block.</summary>
    public abstract Storage RentBytes(long bytes);

    /// <summary>Starts the peak anew from what is in use now.</summary>
    public void ResetPeak()
    {
        lock (_gate) _peakBytes = _liveBytes;
    }

    /// <summary>Gives blocks that are kept but not in use back to the system.</summary>
    public void Trim()
    {
        lock (_gate)
        {
            foreach ((long capacity, Stack<nint> free) in _free)
            {
                while (free.TryPop(out nint block))
                {
                    Free(block);
                    _reservedBytes -= capacity;
                }
            }
        }
    }

    /// <summary>A block of at least <paramref name="bytes"/> + <paramref name="extra"/>, of which the former count as in use.</summary>
    protected nint Take(long bytes, int extra)
    {
        long capacity = Capacity(bytes + extra);
        lock (_gate)
        {
            if (!_free.TryGetValue(capacity, out Stack<nint>? free) || !free.TryPop(out nint block))
            {
                block = Reserve(capacity);
                _reservedBytes += capacity;
            }

            _liveBlocks++;
            _liveBytes += bytes;
            _peakBytes = Math.Max(_peakBytes, _liveBytes);
            return block;
        }
    }

    /// <summary>Keeps a block for the next request.</summary>
    protected void Keep(nint block, long bytes, int extra)
    {
        long capacity = Capacity(bytes + extra);
        lock (_gate)
        {
            _liveBlocks--;
            _liveBytes -= bytes;
            if (!_free.TryGetValue(capacity, out Stack<nint>? free)) _free[capacity] = free = new();
            free.Push(block);
        }
    }

    /// <summary>Takes a block from the system.</summary>
    private protected abstract nint Reserve(long capacity);

    /// <summary>Gives a block back to the system.</summary>
    private protected abstract void Free(nint block);

    /// <summary>Rounds up to one of eight sizes per power of two, at least a page's quarter.</summary>
    private static long Capacity(long bytes)
    {
        long needed = Math.Max(1024, bytes);
        long step = 1L << Math.Max(0, BitOperations.Log2((ulong)needed) - 3);
        return (needed + step - 1) / step * step;
    }
}
