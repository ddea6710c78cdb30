using System.Globalization;
using System.Runtime.CompilerServices;

namespace GatedFwa.Tensors.Cuda;

/// <summary>One argument of a kernel: an address, a number, or a description of tiles.</summary>
internal readonly unsafe struct KernelArgument
{
    /// <summary>The largest argument, rounded up to <see cref="Alignment"/>.</summary>
    public const int MaxBytes = 128;

    /// <summary>Where arguments begin: what a <see cref="TensorMap"/> needs.</summary>
    public const int Alignment = 64;

    private readonly ulong _bits;
    private readonly object? _subject; // The tensor, for messages; or a TensorMap.

    private KernelArgument(ulong bits, object? subject = null) => (_bits, _subject) = (bits, subject);

    public static implicit operator KernelArgument(Tensor? tensor) => new(tensor is null ? 0 : (ulong)tensor.Address, tensor);

    public static implicit operator KernelArgument(CudaStorage? storage) => new(storage is null ? 0 : (ulong)storage.Address);

    public static implicit operator KernelArgument(nint address) => new((ulong)address);

    public static implicit operator KernelArgument(int value) => new((uint)value);

    public static implicit operator KernelArgument(uint value) => new(value);

    public static implicit operator KernelArgument(long value) => new((ulong)value);

    public static implicit operator KernelArgument(ulong value) => new(value);

    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToUInt32Bits(value));

    public static implicit operator KernelArgument(bool value) => new(value ? 1u : 0u);

    public static implicit operator KernelArgument(TensorMap map) => new(0, map);

    /// <summary>Writes the argument for a launch.</summary>
    /// <returns>The bytes to the next.</returns>
    public int Write(byte* target)
    {
        if (_subject is TensorMap map)
        {
            map.CopyTo(target);
            return TensorMap.Bytes;
        }

        // Numbers of four bytes are the first four of these: the machines this runs on are little-endian.
        Unsafe.WriteUnaligned(target, _bits);
        return Alignment;
    }

    /// <summary>Arguments in words.</summary>
    public static string Describe(ReadOnlySpan<KernelArgument> arguments)
    {
        var words = new List<string>();
        foreach (KernelArgument argument in arguments)
        {
            words.Add(argument._subject switch
            {
                Tensor tensor => tensor.ToString(),
                TensorMap => "tiles",
                _ => argument._bits.ToString(argument._bits > uint.MaxValue ? "x" : "d", CultureInfo.InvariantCulture),
            });
        }

        return string.Join(", ", words);
    }
}
