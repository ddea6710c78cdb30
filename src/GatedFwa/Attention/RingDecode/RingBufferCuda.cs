using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>The copies of a <see cref="RingBuffer"/> on a GPU. Bytes are bytes: one kernel serves every type of element.</summary>
internal static class RingBufferCuda
{
    private const int Threads = 256;

    private static readonly KernelSource Source = new(typeof(RingBufferCuda), "ring_buffer.cu");

    /// <summary>
    /// Writes the last <paramref name="kept"/> tokens of [B, T, heads, size] to the slots that end where the cursors are; a second pair
    /// of the same shapes goes along in the same launch.
    /// </summary>
    public static void Append(Tensor tokens, Tensor slots, Tensor? otherTokens, Tensor? otherSlots, int kept, RingCursors cursors)
    {
        (int heads, int capacity, int size) = (slots.Shape[1], slots.Shape[2], slots.Shape[3]);
        (int units, CudaKernel kernel) = Kernel(slots, "ring_append", size);
        long count = (long)slots.Shape[0] * kept * heads * units;
        kernel.Launch(
            Shape(otherTokens is null ? count : 2 * count),
            tokens, otherTokens, slots, otherSlots, cursors.AddressOn(slots.Cuda), cursors[0].Next, tokens.Shape[1], kept, heads, capacity,
            units, count);
    }

    /// <summary>
    /// Writes the <paramref name="past"/> slots that end where the cursors are and then the tokens to [B, S, heads, size].
    /// </summary>
    public static void Join(Tensor slots, Tensor tokens, Tensor joined, RingCursors cursors, int past)
    {
        (int heads, int capacity, int size) = (slots.Shape[1], slots.Shape[2], slots.Shape[3]);
        (int units, CudaKernel kernel) = Kernel(slots, "ring_join", size);
        long count = (long)slots.Shape[0] * (past + tokens.Shape[1]) * heads * units;
        kernel.Launch(
            Shape(count),
            slots, tokens, joined, cursors.AddressOn(slots.Cuda), cursors[0].Next, past, tokens.Shape[1], heads, capacity, units, count);
    }

    /// <summary>Copies the slots of each head to a ring of a greater capacity.</summary>
    public static void Move(Tensor slots, Tensor grown)
    {
        (int units, CudaKernel kernel) = Kernel(slots, "ring_move", slots.Shape[3]);
        long kept = (long)slots.Shape[2] * units, all = slots.Shape[0] * slots.Shape[1] * kept;
        kernel.Launch(Shape(all), slots, grown, kept, (long)grown.Shape[2] * units, kept, all);
    }

    /// <summary>Copies the last token of [B, T, …] to [B, …].</summary>
    public static void CopyLast(Tensor tokens, Tensor last)
    {
        int rows = last.Shape[0], width = (int)(last.Count / rows), length = tokens.Shape[1];
        (int units, CudaKernel kernel) = Kernel(last, "ring_move", width);
        nint lastOfFirstRow = tokens.Address + (nint)((length - 1L) * width * last.Type.Bytes());
        kernel.Launch(Shape((long)rows * units), lastOfFirstRow, last, (long)length * units, (long)units, (long)units, (long)rows * units);
    }

    /// <summary>A kernel for rows of so many elements, and in how many accesses it copies one.</summary>
    private static (int Units, CudaKernel Kernel) Kernel(Tensor tensor, string function, int size)
    {
        int bytes = size * tensor.Type.Bytes();
        (string unit, int unitBytes) = (bytes % 16, bytes % 4) switch
        {
            (0, _) => ("uint4", 16),
            (_, 0) => ("unsigned", 4),
            _ => ("unsigned short", 2),
        };
        return (bytes / unitBytes, tensor.Cuda.Kernel(Source, function, ("UNIT", unit)));
    }

    private static LaunchShape Shape(long threads) => new(checked((int)((threads + Threads - 1) / Threads)), Threads);
}
