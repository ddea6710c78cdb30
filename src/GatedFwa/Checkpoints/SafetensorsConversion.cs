using System.Buffers.Binary;

namespace GatedFwa.Checkpoints;

/// <summary>Turns the little-endian elements of a safetensors file into the numbers this library computes with.</summary>
internal static class SafetensorsConversion
{
    public const int BufferBytes = 8192;

    /// <summary>A span counts its bytes in 32 bits: more elements than this are read and written in parts.</summary>
    public const int MaxSpanElements = 1 << 28;

    /// <summary>Refuses element types that have no conversion.</summary>
    public static void Check(SafetensorsType type, bool integers, string tensor)
    {
        bool convertible = integers
            ? type is SafetensorsType.I32 or SafetensorsType.I64
            : type is SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.F64;
        string expected = integers ? "I32 or I64" : "F32, F16, BF16 or F64";
        if (!convertible) throw new InputException($"{tensor} holds {type} where {expected} is expected; convert it.");
    }

    public static void ToFloats(SafetensorsType type, ReadOnlySpan<byte> bytes, Span<float> values)
    {
        switch (type)
        {
            case SafetensorsType.F64:
                for (int i = 0; i < values.Length; i++) values[i] = (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes[(8 * i)..]);
                break;
            case SafetensorsType.F16:
                for (int i = 0; i < values.Length; i++) values[i] = (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[(2 * i)..]);
                break;
            case SafetensorsType.BF16:
                for (int i = 0; i < values.Length; i++)
                    values[i] = BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadInt16LittleEndian(bytes[(2 * i)..]) << 16);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "No conversion to float32.");
        }
    }

    /// <returns>False where a number does not fit 32 bits.</returns>
    public static bool TryToIntegers(SafetensorsType type, ReadOnlySpan<byte> bytes, Span<int> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            long value = type == SafetensorsType.I32
                ? BinaryPrimitives.ReadInt32LittleEndian(bytes[(4 * i)..])
                : BinaryPrimitives.ReadInt64LittleEndian(bytes[(8 * i)..]);
            if (value != (int)value) return false;
            values[i] = (int)value;
        }

        return true;
    }
}
