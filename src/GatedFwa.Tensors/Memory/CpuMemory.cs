using System.Runtime.InteropServices;

namespace GatedFwa.Tensors.Memory;

/// <summary>The host memory pool.</summary>
/// <remarks>With <see cref="Checked"/> on (tests) every block comes filled with NaN and is fenced; a kernel that reads what
/// it has not written or writes past an end is caught.</remarks>
internal sealed unsafe partial class CpuMemory : MemoryPool
{
    private const int FenceBytes = 64;
    private const byte Poison = 0xFF; // As a float: NaN. As a token id: -1.
    private const byte FenceByte = 0xA5;
    private const long HugePageBytes = 2 << 20;
    private const int AdviseHugePage = 14; // MADV_HUGEPAGE

    public static CpuMemory Shared { get; } = new();

    /// <summary>Fill with NaN and fence every block. Set once, before the first tensor.</summary>
    public static bool Checked { get; set; }

    private static int Extra => Checked ? 2 * FenceBytes : 0;

    /// <summary>Scratch for a kernel, in floats; dispose it to give it back.</summary>
    public static CpuStorage Rent(long floats) => Shared.RentBytes(checked(floats * sizeof(float)));

    public override CpuStorage RentBytes(long bytes)
    {
        byte* block = (byte*)Take(bytes, Extra);
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

        Keep((nint)block, storage.Bytes, Extra);
    }

    private protected override nint Reserve(long capacity)
    {
        bool huge = capacity >= HugePageBytes;
        byte* block = (byte*)NativeMemory.AlignedAlloc((nuint)capacity, (nuint)(huge ? HugePageBytes : 64));
        // Huge pages spare the panels of a matrix product most of their TLB misses. It is advice: failure changes nothing.
        if (huge && OperatingSystem.IsLinux()) _ = Advise(block, (nuint)capacity, AdviseHugePage);
        return (nint)block;
    }

    private protected override void Free(nint block) => NativeMemory.AlignedFree((void*)block);

    private static bool FenceIntact(byte* fence) => new ReadOnlySpan<byte>(fence, FenceBytes).IndexOfAnyExcept(FenceByte) < 0;

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint bytes, int advice);
}
