using System.Numerics;
using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Memory;

/// <summary>
/// The host memory pool. Blocks come in eight sizes per power of two (at most 12.5% waste) and are kept for the next
/// request, so that a training step after the first touches no fresh page.
/// </summary>
/// <remarks>With <see cref="Checked"/> on (tests) every block comes filled with NaN and is fenced; a kernel that reads what
/// it has not written or writes past an end is caught.</remarks>
internal sealed unsafe partial class CpuMemory
{
    private const int FenceBytes = 64;
    private const byte Poison = 0xFF; // As a float: NaN. As a token id: -1.
    private const byte FenceByte = 0xA5;
    private const long HugePageBytes = 2 << 20;
    private const int AdviseHugePage = 14; // MADV_HUGEPAGE

    private readonly Lock _gate = new();
    private readonly Dictionary<long, Stack<nint>> _free = [];
    private long _liveBlocks, _liveBytes, _peakBytes, _reservedBytes;

    public static CpuMemory Shared { get; } = new();

    /// <summary>Fill with NaN and fence every block. Set once, before the first tensor.</summary>
    public static bool Checked { get; set; }

    public MemoryStatistics Statistics
    {
        get
        {
            lock (_gate) return new(_liveBlocks, _liveBytes, _peakBytes, _reservedBytes);
        }
    }

    /// <summary>Scratch for a kernel, in floats; dispose it to give it back.</summary>
    public static CpuStorage Rent(long floats) => Shared.RentBytes(checked(floats * sizeof(float)));

    public CpuStorage RentBytes(long bytes)
    {
        long capacity = Capacity(bytes);
        byte* block;
        lock (_gate)
        {
            block = _free.TryGetValue(capacity, out Stack<nint>? free) && free.TryPop(out nint kept) ? (byte*)kept : Reserve(capacity);
            _liveBlocks++;
            _liveBytes += bytes;
            _peakBytes = Math.Max(_peakBytes, _liveBytes);
        }

        if (!Checked) return new CpuStorage(this, block, bytes);
        NativeMemory.Fill(block, FenceBytes, FenceByte);
        NativeMemory.Fill(block + FenceBytes, (nuint)bytes, Poison);
        NativeMemory.Fill(block + FenceBytes + bytes, FenceBytes, FenceByte);
        return new CpuStorage(this, block + FenceBytes, bytes);
    }

    internal void Return(CpuStorage storage)
    {
        byte* block = storage.Pointer;
        if (Checked)
        {
            block -= FenceBytes;
            bool intact = FenceIntact(block) && FenceIntact(storage.Pointer + storage.Bytes);
            if (!intact) throw new InvalidOperationException($"A kernel wrote outside a block of {storage.Bytes} bytes.");
            NativeMemory.Fill(storage.Pointer, (nuint)storage.Bytes, Poison);
        }

        long capacity = Capacity(storage.Bytes);
        lock (_gate)
        {
            _liveBlocks--;
            _liveBytes -= storage.Bytes;
            if (!_free.TryGetValue(capacity, out Stack<nint>? free)) _free[capacity] = free = new();
            free.Push((nint)block);
        }
    }

    public void ResetPeak()
    {
        lock (_gate) _peakBytes = _liveBytes;
    }

    public void Trim()
    {
        lock (_gate)
        {
            foreach ((long capacity, Stack<nint> free) in _free)
            {
                while (free.TryPop(out nint block))
                {
                    NativeMemory.AlignedFree((void*)block);
                    _reservedBytes -= capacity;
                }
            }
        }
    }

    private static bool FenceIntact(byte* fence) => new ReadOnlySpan<byte>(fence, FenceBytes).IndexOfAnyExcept(FenceByte) < 0;

    /// <summary>Rounds up to one of eight sizes per power of two, at least a page's quarter.</summary>
    private static long Capacity(long bytes)
    {
        long needed = Math.Max(1024, bytes + (Checked ? 2 * FenceBytes : 0));
        long step = 1L << Math.Max(0, BitOperations.Log2((ulong)needed) - 3);
        return (needed + step - 1) / step * step;
    }

    private byte* Reserve(long capacity)
    {
        bool huge = capacity >= HugePageBytes;
        byte* block = (byte*)NativeMemory.AlignedAlloc((nuint)capacity, (nuint)(huge ? HugePageBytes : 64));
        // Huge pages spare the panels of a matrix product most of their TLB misses. It is advice: failure changes nothing.
        if (huge && OperatingSystem.IsLinux()) _ = Advise(block, (nuint)capacity, AdviseHugePage);
        _reservedBytes += capacity;
        return block;
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint bytes, int advice);
}
