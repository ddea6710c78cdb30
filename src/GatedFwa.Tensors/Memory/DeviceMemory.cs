using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Memory;

/// <summary>The memory pools, one a device: statistics and trimming.</summary>
public static class DeviceMemory
{
    /// <summary>What a device's pool holds now.</summary>
    /// <param name="device">The device.</param>
    public static MemoryStatistics Statistics(Device device) => Pool(device).Statistics;

    /// <summary>Starts the peak anew from what is in use now.</summary>
    /// <param name="device">The device.</param>
    public static void ResetPeak(Device device) => Pool(device).ResetPeak();

    /// <summary>Gives memory that is kept but not in use back to the system.</summary>
    /// <param name="device">The device.</param>
    public static void Trim(Device device) => Pool(device).Trim();

    internal static Storage Rent(Device device, long bytes) => Pool(device).RentBytes(bytes);

    private static MemoryPool Pool(Device device) => device.IsCpu ? CpuMemory.Shared : CudaDevice.Get(device.Index).Memory;
}
