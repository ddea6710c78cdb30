using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Cuda;

/// <summary>Blocks that wait for all others of their launch.</summary>
public sealed class CooperativeLaunchCudaTests() : TensorTest(TestBackend.CudaFloat32)
{
    private static readonly KernelSource Source = new(typeof(CooperativeLaunchCudaTests), "cooperative_launch.cu");

    private static CudaDevice Gpu => CudaDevice.Get(0);

    [Fact]
    public void Blocks_wait_for_one_another()
    {
        int blocks = Gpu.Multiprocessors;
        using Tensor slots = Zeros(4 * blocks), steps = Zeros(blocks), sums = Zeros(blocks);
        for (int step = 1; step <= 3; step++)
        {
            Launch(blocks, slots, steps, sums);
            AssertSums(sums, step);
        }
    }

    [Fact]
    public void A_graph_repeats_the_launch()
    {
        int blocks = Gpu.Multiprocessors;
        using Tensor slots = Zeros(4 * blocks), steps = Zeros(blocks), sums = Zeros(blocks);
        Launch(blocks, slots, steps, sums); // Compiled before it is recorded.
        using CudaGraph graph = CudaGraph.Capture(Gpu, () => Launch(blocks, slots, steps, sums));
        for (int step = 2; step <= 4; step++)
        {
            graph.Launch();
            AssertSums(sums, step);
        }
    }

    [Fact]
    public void More_blocks_than_fit_are_refused()
    {
        const int MostOfMultiprocessor = 32;
        int blocks = (MostOfMultiprocessor * Gpu.Multiprocessors) + 1;
        using Tensor slots = Zeros(4 * blocks), steps = Zeros(blocks), sums = Zeros(blocks);
        Assert.Contains(
            "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE",
            Assert.Throws<CudaException>(() => Launch(blocks, slots, steps, sums)).Message,
            StringComparison.Ordinal);
    }

    private Tensor Zeros(int count) => Tensor.Zeros([count], DType.I32, Backend.Device);

    private static void Launch(int blocks, Tensor slots, Tensor steps, Tensor sums) =>
        Gpu.Kernel(Source, "add_up_blocks").Launch(new LaunchShape(blocks, 1, Cooperative: true), slots, steps, sums);

    private static void AssertSums(Tensor sums, int step)
    {
        int blocks = (int)sums.Count, each = step * ((1000 * blocks) + (blocks * (blocks - 1) / 2));
        int[] read = new int[blocks];
        sums.Storage.CopyToHost(MemoryMarshal.AsBytes(read.AsSpan()), 0);
        Assert.Equal(Enumerable.Repeat(each, blocks), read);
    }
}
