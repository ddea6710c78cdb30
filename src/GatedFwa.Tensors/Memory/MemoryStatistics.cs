namespace GatedFwa.Tensors.Memory;

/// <summary>What a device's memory pool holds at one moment.</summary>
/// <param name="LiveBlocks">Blocks in use: tensors (views share theirs) and kernel scratch.</param>
/// <param name="LiveBytes">Bytes in use.</param>
/// <param name="PeakBytes">The most bytes in use at once since the last <see cref="DeviceMemory.ResetPeak"/>.</param>
/// <param name="ReservedBytes">Bytes taken from the system: in use or kept for the next request.</param>
public readonly record struct MemoryStatistics(long LiveBlocks, long LiveBytes, long PeakBytes, long ReservedBytes);
