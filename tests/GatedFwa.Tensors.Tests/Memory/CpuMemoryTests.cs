using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Memory;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Memory;

public sealed unsafe class CpuMemoryTests : TensorTest
{
    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(1000)]
    [InlineData(3_000_000)]
    public void Fresh_and_recycled_memory_is_full_of_NaN(long bytes)
    {
        var pool = new CpuMemory();
        for (int use = 0; use < 2; use++)
        {
            using CpuStorage block = pool.RentBytes(bytes);
            var values = new Span<float>(block.Floats, (int)(bytes / 4));
            foreach (float value in values) Assert.True(float.IsNaN(value));
            values.Clear();
        }

        pool.Trim();
    }

    [Theory]
    [InlineData(40)] // the first byte after the block
    [InlineData(-1)] // the last byte before it
    [InlineData(103)] // the last byte of the fence
    public void A_write_past_either_end_is_caught_when_the_block_comes_back(int offset)
    {
        var pool = new CpuMemory();
        CpuStorage block = pool.RentBytes(40);
        block.Pointer[offset] ^= 1;
        Assert.Equal("A kernel wrote outside a block of 40 bytes.", Assert.Throws<InvalidOperationException>(block.Dispose).Message);
    }

    [Fact]
    public void Writing_every_byte_of_a_block_is_fine()
    {
        var pool = new CpuMemory();
        using (CpuStorage block = pool.RentBytes(40)) new Span<byte>(block.Pointer, 40).Clear();
        pool.Trim();
    }

    [Fact]
    public void Blocks_start_at_a_cache_line()
    {
        var pool = new CpuMemory();
        foreach (long bytes in new long[] { 1, 100, 5000, 1 << 22 })
        {
            using CpuStorage block = pool.RentBytes(bytes);
            Assert.Equal(0, (nint)block.Pointer % 64);
        }

        pool.Trim();
    }

    [Fact]
    public void A_block_that_came_back_is_used_again_for_its_size()
    {
        var pool = new CpuMemory();
        CpuStorage first = pool.RentBytes(10_000);
        byte* address = first.Pointer;
        first.Dispose();
        using (CpuStorage second = pool.RentBytes(10_000)) Assert.Equal((nint)address, (nint)second.Pointer);
        Assert.InRange(pool.Statistics.ReservedBytes, 10_000, 11_500); // one block, at most an eighth larger than asked for (and its fences)
        pool.Trim();
        Assert.Equal(new MemoryStatistics(0, 0, 10_000, 0), pool.Statistics);
    }

    [Fact]
    public void Counts_blocks_bytes_and_their_peak()
    {
        var pool = new CpuMemory();
        CpuStorage a = pool.RentBytes(100), b = pool.RentBytes(300);
        Assert.Equal((2, 400, 400), (pool.Statistics.LiveBlocks, pool.Statistics.LiveBytes, pool.Statistics.PeakBytes));
        b.Dispose();
        Assert.Equal((1, 100, 400), (pool.Statistics.LiveBlocks, pool.Statistics.LiveBytes, pool.Statistics.PeakBytes));
        pool.ResetPeak();
        Assert.Equal(100, pool.Statistics.PeakBytes);
        a.Dispose();
        pool.Trim();
    }

    [Fact]
    public void Threads_may_rent_at_the_same_time()
    {
        var pool = new CpuMemory();
        Parallel.For(0, 2000, i =>
        {
            using CpuStorage block = pool.RentBytes(4 * (1 + (i % 50)));
            new Span<float>(block.Floats, 1 + (i % 50)).Fill(i);
            foreach (float value in new Span<float>(block.Floats, 1 + (i % 50))) Assert.Equal(i, value);
        });
        Assert.Equal(0, pool.Statistics.LiveBlocks);
        pool.Trim();
    }

    [Fact]
    public void A_tensor_that_is_kept_fails_its_test()
    {
        var test = new Forgetful();
        Assert.Equal("1 tensors are still alive after the test.", Assert.Throws<InvalidOperationException>(test.Dispose).Message);
        test.Kept.Dispose();
    }

    [Fact]
    public void A_GPU_that_is_not_there_says_so_and_what_to_do()
    {
        string message = Assert.Throws<CudaException>(() => Tensor.Zeros([1], device: new(DeviceKind.Cuda, 99))).Message;
        Assert.Matches("^There is no (NVIDIA driver|GPU 99) here.*--device", message);
    }

    private sealed class Forgetful : TensorTest
    {
        // Not a field initialiser: those run before the base class counts.
        public Forgetful() => Kept = Tensor.Zeros([3]);

        public Tensor Kept { get; }
    }
}
