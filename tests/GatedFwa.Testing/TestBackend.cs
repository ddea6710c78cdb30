using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Testing;

/// <summary>Where a test body runs and what its activations are made of: one body serves every device and precision.</summary>
/// <param name="Device">The device of every tensor.</param>
/// <param name="Activations">The type of activations; parameters are F32 everywhere.</param>
public sealed record TestBackend(Device Device, DType Activations)
{
    // docs/precision.md: what activations of 16 bits may cost, forwards and backwards.
    private const double NarrowForwardTolerance = 4e-3, NarrowGradientTolerance = 8e-3;

    private static readonly Lazy<string?> MissingGpu = new(FindMissingGpu);

    public static TestBackend Cpu { get; } = new(Device.Cpu, DType.F32);

    public static TestBackend CudaFloat32 { get; } = Cuda(DType.F32);

    public static TestBackend CudaBFloat16 { get; } = Cuda(DType.BF16);

    public static TestBackend CudaFloat16 { get; } = Cuda(DType.F16);

    /// <summary>Why this backend cannot run here; null where it can.</summary>
    public string? Missing => Device.IsCpu ? null : MissingGpu.Value;

    /// <summary>The tolerance of a result, given the one that F32 is held to.</summary>
    public double Forward(double float32) => IsNarrow ? Math.Max(float32, NarrowForwardTolerance) : float32;

    /// <summary>The tolerance of a gradient, given the one that F32 is held to.</summary>
    public double Gradient(double float32) => IsNarrow ? Math.Max(float32, NarrowGradientTolerance) : float32;

    /// <summary>Values as activations hold them: what a reference must be given.</summary>
    public float[] Round(float[] values) => IsNarrow ? [.. values.Select(value => HalfPrecision.Round(value, Activations))] : values;

    /// <summary>A tensor of activations; the caller owns it.</summary>
    public Tensor Activation(ReadOnlySpan<float> values, Shape shape) => Tensor.From(values, shape, Device, Activations);

    /// <summary>A tensor as parameters are: F32.</summary>
    public Tensor Parameter(ReadOnlySpan<float> values, Shape shape) => Tensor.From(values, shape, Device);

    /// <inheritdoc/>
    public override string ToString() => $"{Device} {Activations}";

    private bool IsNarrow => Activations != DType.F32;

    private static TestBackend Cuda(DType activations) => new(new Device(DeviceKind.Cuda, 0), activations);

    private static string? FindMissingGpu()
    {
        if (NarrowerProcess.IsThis) return "This process is about the CPU's narrower vectors.";
        try
        {
            CudaDevice.Get(0);
            NativeLibraries.Require(NativeLibraries.Nvrtc);
            return null;
        }
        catch (CudaException exception)
        {
            return exception.Message.Split(';')[0] + "."; // The remedy is for users.
        }
    }
}
