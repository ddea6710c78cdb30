using System.Runtime.InteropServices;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors;

/// <summary>BF16 and F16 on their way between host floats and a device: a piece at a time, so that no second array is made.</summary>
internal static class HalfPrecision
{
    private const int PieceElements = 1 << 20;

    /// <summary>The nearest value of a type, halves to even.</summary>
    public static float Round(float value, DType type) => type switch
    {
        DType.BF16 => FromBFloat16(ToBFloat16(value)),
        DType.F16 => (float)(Half)value,
        _ => value,
    };

    public static void CopyFrom(ReadOnlySpan<float> values, DType type, Storage storage)
    {
        var piece = new ushort[Math.Min(PieceElements, values.Length)];
        for (int start = 0; start < values.Length; start += PieceElements)
        {
            ReadOnlySpan<float> source = values.Slice(start, Math.Min(PieceElements, values.Length - start));
            for (int i = 0; i < source.Length; i++)
                piece[i] = type == DType.BF16 ? ToBFloat16(source[i]) : BitConverter.HalfToUInt16Bits((Half)source[i]);
            storage.CopyFromHost(MemoryMarshal.AsBytes(piece.AsSpan(0, source.Length)), (long)start * sizeof(ushort));
        }
    }

    public static void CopyTo(Storage storage, DType type, Span<float> values)
    {
        var piece = new ushort[Math.Min(PieceElements, values.Length)];
        for (int start = 0; start < values.Length; start += PieceElements)
        {
            Span<float> target = values.Slice(start, Math.Min(PieceElements, values.Length - start));
            storage.CopyToHost(MemoryMarshal.AsBytes(piece.AsSpan(0, target.Length)), (long)start * sizeof(ushort));
            for (int i = 0; i < target.Length; i++)
                target[i] = type == DType.BF16 ? FromBFloat16(piece[i]) : (float)BitConverter.UInt16BitsToHalf(piece[i]);
        }
    }

    private static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        // Rounding could carry a NaN's payload into an infinity.
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static float FromBFloat16(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);
}
