namespace GatedFwa.Tensors;

/// <summary>The type of a tensor's elements.</summary>
public enum DType
{
    /// <summary>IEEE 754 binary32.</summary>
    F32,

    /// <summary>bfloat16: the upper half of a binary32.</summary>
    BF16,

    /// <summary>IEEE 754 binary16.</summary>
    F16,

    /// <summary>Signed 32-bit integer (token ids, offsets).</summary>
    I32,
}

/// <summary>Facts about <see cref="DType"/>.</summary>
public static class DTypes
{
    /// <summary>Bytes of one element.</summary>
    /// <param name="type">The element type.</param>
    public static int Bytes(this DType type) => type is DType.F32 or DType.I32 ? 4 : 2;
}
