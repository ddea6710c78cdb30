namespace GatedFwa.Tensors;

/// <summary>The kind of processor a tensor lives on.</summary>
public enum DeviceKind
{
    /// <summary>The host processor: managed SIMD kernels, addressable memory.</summary>
    Cpu,

    /// <summary>An NVIDIA GPU: memory that the host cannot address.</summary>
    Cuda,
}

/// <summary>Names the processor that holds a tensor and runs operations on it.</summary>
/// <param name="Kind">The kind of processor.</param>
/// <param name="Index">Which one of its kind, from 0.</param>
public readonly record struct Device(DeviceKind Kind, int Index)
{
    /// <summary>The host processor.</summary>
    public static Device Cpu => default;

    /// <summary>True where memory is addressable by the host.</summary>
    public bool IsCpu => Kind == DeviceKind.Cpu;

    /// <inheritdoc/>
    public override string ToString() => IsCpu ? "cpu" : $"cuda:{Index}";
}
