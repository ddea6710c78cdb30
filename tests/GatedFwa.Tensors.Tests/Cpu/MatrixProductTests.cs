using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Cpu;

public sealed unsafe class MatrixProductTests : TensorTest
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup() => WorkerPool.Shared.Threads = _threads;

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(12, 32, 16)]
    [InlineData(13, 33, 17)]
    [InlineData(200, 100, 1050)]
    [InlineData(1600, 1570, 6)]
    public void Adds_to_what_is_there_and_leaves_the_gaps_between_rows_alone(int m, int n, int k)
    {
        const float Gap = 7;
        int strideC = n + 3;
        float[] a = Samples.Normal(m * k, 1), b = Samples.Normal(k * n, 2), before = Samples.Normal(m * n, 3);
        double[] expected = MatMulReference.Forward(Samples.Widen(a), Samples.Widen(b), m, n, k, false, false);
        for (int i = 0; i < expected.Length; i++) expected[i] += before[i];

        using CpuStorage c = CpuMemory.Rent(m * strideC);
        new Span<float>(c.Floats, m * strideC).Fill(Gap);
        for (int row = 0; row < m; row++) before.AsSpan(row * n, n).CopyTo(new Span<float>(c.Floats + (row * strideC), n));
        fixed (float* pa = a, pb = b)
        {
            MatrixProduct.Multiply(StridedMatrix.RowMajor(pa, m, k), StridedMatrix.RowMajor(pb, k, n), c.Floats, strideC, accumulate: true);
        }

        var actual = new float[m * n];
        for (int row = 0; row < m; row++)
        {
            var line = new ReadOnlySpan<float>(c.Floats + (row * strideC), strideC);
            line[..n].CopyTo(actual.AsSpan(row * n));
            Assert.Equal(-1, line[n..].IndexOfAnyExcept(Gap));
        }

        Assert.InRange(ErrorNorm.Relative(actual, expected), 0, 3e-6);
    }

    [Fact]
    public void Takes_matrices_in_which_neither_rows_nor_columns_are_contiguous()
    {
        const int M = 30, N = 40, K = 50;
        float[] a = Samples.Normal(M * K * 2, 1), b = Samples.Normal(K * N * 3, 2);
        double[] denseA = [.. Enumerable.Range(0, M * K).Select(i => (double)a[2 * i])], denseB = [.. Enumerable.Range(0, K * N).Select(i => (double)b[3 * i])];
        var c = new float[M * N];
        fixed (float* pa = a, pb = b, pc = c)
        {
            MatrixProduct.Multiply(new StridedMatrix(pa, M, K, 2 * K, 2), new StridedMatrix(pb, K, N, 3 * N, 3), pc, N);
        }

        Assert.InRange(ErrorNorm.Relative(c, MatMulReference.Forward(denseA, denseB, M, N, K, false, false)), 0, 3e-6);
    }

    [Theory]
    [InlineData(1, 64, 64)]
    [InlineData(2, 37, 100)]
    [InlineData(3, 5, 3)]
    [InlineData(7, 300, 129)]
    [InlineData(16, 1030, 40)]
    [InlineData(48, 33, 1000)]
    public void The_path_for_few_rows_agrees_with_the_packed_one(int m, int n, int k)
    {
        fixed (float* a = Samples.Normal(m * k, 1), b = Samples.Normal(k * n, 2))
        {
            StridedMatrix[] left = [StridedMatrix.RowMajor(a, m, k), StridedMatrix.RowMajor(a, k, m).Transposed];
            StridedMatrix[] right = [StridedMatrix.RowMajor(b, k, n), StridedMatrix.RowMajor(b, n, k).Transposed];
            foreach (StridedMatrix opA in left)
            {
                foreach (StridedMatrix opB in right)
                {
                    foreach (bool accumulate in (bool[])[false, true])
                    {
                        float[] skinny = Samples.Normal(m * n, 3), packed = Samples.Normal(m * n, 3);
                        fixed (float* cSkinny = skinny, cPacked = packed)
                        {
                            MatrixProduct.Skinny(opA, opB, cSkinny, n, accumulate);
                            MatrixProduct.Packed(opA, opB, cPacked, n, accumulate);
                        }

                        Assert.InRange(ErrorNorm.Relative(skinny, packed), 0, 3e-6);
                    }
                }
            }
        }
    }

    [Fact]
    public void A_row_does_not_depend_on_its_neighbours()
    {
        const int N = 50, K = 77, Rows = 7;
        float[] together = Product(Rows, N, K, threads: 1), alone = Product(1, N, K, threads: 1);
        Assert.Equal(alone, together.AsSpan(0, N).ToArray());
    }

    [Theory]
    [InlineData(1, 700, 900)]
    [InlineData(9, 700, 900)]
    [InlineData(500, 300, 1700)]
    [InlineData(60, 1700, 100)]
    public void Any_number_of_threads_gives_the_same_bits(int m, int n, int k)
    {
        float[] expected = Product(m, n, k, threads: 1);
        Assert.Equal(expected, Product(m, n, k, threads: 2));
        Assert.Equal(expected, Product(m, n, k, threads: 3));
    }

    private static float[] Product(int m, int n, int k, int threads)
    {
        WorkerPool.Shared.Threads = threads;
        var c = new float[m * n];
        fixed (float* a = Samples.Normal(m * k, 1), b = Samples.Normal(k * n, 2), pc = c)
        {
            MatrixProduct.Multiply(StridedMatrix.RowMajor(a, m, k), StridedMatrix.RowMajor(b, n, k).Transposed, pc, n);
        }

        return c;
    }
}
