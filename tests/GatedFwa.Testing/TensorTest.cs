using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Testing;

/// <summary>
/// Base of every test that touches tensors: memory comes filled with NaN and fenced, and a test that leaves a tensor alive fails.
/// Test classes of one assembly run one after the other, so that the count is theirs alone.
/// </summary>
/// <remarks>
/// A suite that serves several backends is an abstract class that passes one on to here; a sealed class for each backend derives
/// from it and carries its name: <c>RmsNormTests</c>, <c>RmsNormCudaTests</c>, <c>RmsNormCudaBFloat16Tests</c>.
/// </remarks>
public abstract class TensorTest : IDisposable
{
    // xunit reports an exception that begins with this as a skipped test. By text: this library does not reference the framework.
    private const string SkipToken = "$XunitDynamicSkip$";

    private readonly long _liveBefore;

    static TensorTest() => CpuMemory.Checked = true;

    protected TensorTest()
        : this(TestBackend.Cpu)
    {
    }

    /// <summary>Skips the test, with the reason, where the backend cannot run.</summary>
    protected TensorTest(TestBackend backend)
    {
        if (backend.Missing is { } reason) throw new InvalidOperationException(SkipToken + reason);
        Backend = backend;
        _liveBefore = LiveBlocks();
    }

    /// <summary>Where this test runs.</summary>
    protected TestBackend Backend { get; }

    public void Dispose()
    {
        Cleanup();
        long alive = LiveBlocks() - _liveBefore;
        if (alive != 0) throw new InvalidOperationException($"{alive} tensors are still alive after the test.");
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives back what the class itself holds.</summary>
    protected virtual void Cleanup()
    {
    }

    private static long LiveBlocks() =>
        CpuMemory.Shared.Statistics.LiveBlocks + CudaDevice.InUse().Sum(device => device.Memory.Statistics.LiveBlocks);
}
