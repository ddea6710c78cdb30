using GatedFwa.Tensors;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Testing;

/// <summary>
/// Base of every test that touches tensors: memory comes filled with NaN and fenced, and a test that leaves a tensor alive fails.
/// Test classes of one assembly run one after the other, so that the count is theirs alone.
/// </summary>
public abstract class TensorTest : IDisposable
{
    private readonly long _liveBefore;

    static TensorTest() => CpuMemory.Checked = true;

    protected TensorTest() => _liveBefore = DeviceMemory.Statistics(Device.Cpu).LiveBlocks;

    public void Dispose()
    {
        Cleanup();
        long alive = DeviceMemory.Statistics(Device.Cpu).LiveBlocks - _liveBefore;
        if (alive != 0) throw new InvalidOperationException($"{alive} tensors are still alive after the test.");
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives back what the class itself holds.</summary>
    protected virtual void Cleanup()
    {
    }
}
