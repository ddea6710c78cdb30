using static GatedFwa.Tensors.Cuda.CudaDriver;

namespace GatedFwa.Tensors.Cuda;

/// <summary>How the copy engine of sm_90 finds boxes of a four-dimensional tensor (CUtensorMap).</summary>
internal sealed unsafe class TensorMap
{
    /// <summary>Its size as a kernel's argument.</summary>
    public const int Bytes = 128;

    private const int Rank = 4;
    private const int PromoteTo256Bytes = 3, Swizzle128 = 3;

    private readonly byte[] _bytes = new byte[Bytes];

    /// <summary>Describes boxes of a tensor in memory; extents innermost first. What lies outside reads as zeros.</summary>
    /// <param name="address">Of the first element.</param>
    /// <param name="type">Of the elements.</param>
    /// <param name="extents">Elements along each of four axes.</param>
    /// <param name="strides">Elements from one to the next along axes 1, 2 and 3.</param>
    /// <param name="box">Elements of a box along each axis.</param>
    /// <param name="swizzled">Whether boxes, 128 bytes wide, lie in shared memory with the 128-byte swizzle.</param>
    public TensorMap(nint address, DType type, ReadOnlySpan<long> extents, ReadOnlySpan<long> strides, ReadOnlySpan<int> box, bool swizzled)
    {
        ulong* size = stackalloc ulong[Rank], stride = stackalloc ulong[Rank - 1];
        uint* part = stackalloc uint[Rank], step = stackalloc uint[Rank];
        for (int i = 0; i < Rank; i++)
        {
            (size[i], part[i], step[i]) = ((ulong)extents[i], (uint)box[i], 1);
            if (i > 0) stride[i - 1] = (ulong)(strides[i - 1] * type.Bytes());
        }

        // CUtensorMapDataType: FLOAT16 6, FLOAT32 7, BFLOAT16 9, INT32 4.
        int code = type switch { DType.F16 => 6, DType.F32 => 7, DType.BF16 => 9, _ => 4 };
        byte* room = stackalloc byte[2 * Bytes];
        byte* map = (byte*)(((nint)room + KernelArgument.Alignment - 1) & -KernelArgument.Alignment);
        Check(
            cuTensorMapEncodeTiled(map, code, Rank, address, size, stride, part, step, 0, swizzled ? Swizzle128 : 0, PromoteTo256Bytes, 0),
            $"Describing tiles [{string.Join(", ", box.ToArray())}] of [{string.Join(", ", extents.ToArray())}]");
        new ReadOnlySpan<byte>(map, Bytes).CopyTo(_bytes);
    }

    /// <summary>Writes the 128 bytes of the description.</summary>
    public void CopyTo(byte* target) => _bytes.CopyTo(new Span<byte>(target, Bytes));
}
