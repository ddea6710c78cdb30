using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace GatedFwa.Checkpoints;

/// <summary>An element type of the safetensors format, under the name it has in a header.</summary>
[SuppressMessage("Naming", "CA1707", Justification = "The names are those of the format.")]
public enum SafetensorsType
{
    /// <summary>IEEE 754 binary64.</summary>
    F64,

    /// <summary>IEEE 754 binary32.</summary>
    F32,

    /// <summary>IEEE 754 binary16.</summary>
    F16,

    /// <summary>bfloat16: the upper half of a binary32.</summary>
    BF16,

    /// <summary>8-bit float with 5 bits of exponent.</summary>
    F8_E5M2,

    /// <summary>8-bit float with 4 bits of exponent.</summary>
    F8_E4M3,

    /// <summary>8-bit power of two.</summary>
    F8_E8M0,

    /// <summary>Two binary32: a complex number.</summary>
    C64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Signed 8-bit integer.</summary>
    I8,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>Unsigned 8-bit integer.</summary>
    U8,

    /// <summary>A truth value in one byte.</summary>
    BOOL,
}

/// <summary>Facts about <see cref="SafetensorsType"/>.</summary>
public static class SafetensorsTypes
{
    private static readonly (byte[] Name, SafetensorsType Type)[] Names =
        [.. Enum.GetValues<SafetensorsType>().Select(type => (Encoding.ASCII.GetBytes(type.ToString()), type))];

    /// <summary>Bytes of one element.</summary>
    /// <param name="type">The element type.</param>
    public static int Bytes(this SafetensorsType type) => type switch
    {
        SafetensorsType.F64 or SafetensorsType.C64 or SafetensorsType.I64 or SafetensorsType.U64 => 8,
        SafetensorsType.F32 or SafetensorsType.I32 or SafetensorsType.U32 => 4,
        SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.I16 or SafetensorsType.U16 => 2,
        _ => 1,
    };

    /// <summary>The type with a header's name for it; false where the format knows none.</summary>
    internal static bool TryParse(ReadOnlySpan<byte> name, out SafetensorsType type)
    {
        foreach ((byte[] known, SafetensorsType itsType) in Names)
        {
            type = itsType;
            if (name.SequenceEqual(known)) return true;
        }

        type = default;
        return false;
    }
}
