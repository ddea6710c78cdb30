using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Cli.Commands.Info;

/// <summary>The NVIDIA GPUs of this machine and the software that serves them.</summary>
/// <param name="Available">Whether <c>--device cuda</c> works here.</param>
/// <param name="Reason">Why it does not.</param>
/// <param name="Driver">The CUDA version that the driver supports.</param>
/// <param name="Nvrtc">The compiler's version.</param>
/// <param name="CublasLt">The version of the matrix products.</param>
/// <param name="Devices">The GPUs.</param>
internal sealed record CudaReport(
    bool Available, string? Reason, string? Driver, string? Nvrtc, string? CublasLt, IReadOnlyList<CudaReport.Gpu> Devices)
{
    /// <summary>Looks, without leaving anything out: what is missing is told after what is there.</summary>
    public static CudaReport Read()
    {
        string? reason = null, driver = null, nvrtc = null, cublasLt = null;
        List<Gpu> devices = [];
        T? Try<T>(Func<T> read)
        {
            try
            {
                return read();
            }
            catch (CudaException exception)
            {
                reason ??= exception.Message;
                return default;
            }
        }

        int count = Try(() => CudaDevice.Count);
        if (reason is null && count == 0) reason = "The NVIDIA driver finds no GPU; check nvidia-smi, or leave --device out.";
        for (int index = 0; index < count; index++)
        {
            if (Try(() => CudaDevice.Get(index)) is { } device) devices.Add(Gpu.Of(device));
        }

        if (reason is null)
        {
            driver = Try(() => CudaVersions.Driver);
            nvrtc = Try(() => CudaVersions.Nvrtc);
            cublasLt = Try(() => CudaVersions.CublasLt);
        }

        return new(devices.Count > 0 && nvrtc is not null && cublasLt is not null, reason, driver, nvrtc, cublasLt, devices);
    }

    /// <summary>In words.</summary>
    public IEnumerable<(string Name, string Value)> Lines()
    {
        foreach (Gpu gpu in Devices) yield return ($"GPU, cuda:{gpu.Index}", gpu.ToString());
        if (Driver is not null) yield return ("CUDA", $"driver {Driver}{Part("NVRTC", Nvrtc)}{Part("cuBLASLt", CublasLt)}");
        if (Reason is not null) yield return (Devices.Count == 0 ? "GPU" : "GPU, but", Reason);

        static string Part(string name, string? version) => version is null ? "" : $", {name} {version}";
    }

    /// <summary>One GPU.</summary>
    /// <param name="Index">Its number.</param>
    /// <param name="Name">Its name.</param>
    /// <param name="MemoryBytes">All of its memory.</param>
    /// <param name="FreeBytes">What nobody uses.</param>
    /// <param name="ComputeCapability">Such as 9.0.</param>
    /// <param name="Multiprocessors">How many.</param>
    internal sealed record Gpu(int Index, string Name, long MemoryBytes, long FreeBytes, string ComputeCapability, int Multiprocessors)
    {
        public static Gpu Of(CudaDevice device)
        {
            (long free, long total) = device.MemoryInfo();
            return new(
                device.Index, device.Name, total, free, $"{device.Architecture / 10}.{device.Architecture % 10}", device.Multiprocessors);
        }

        public override string ToString() =>
            $"{Name}, {Words.Bytes(MemoryBytes)} ({Words.Bytes(FreeBytes)} free), compute capability {ComputeCapability}, " +
            $"{Multiprocessors} multiprocessors";
    }
}
