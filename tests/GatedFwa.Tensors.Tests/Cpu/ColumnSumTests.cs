using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Cpu;

public sealed unsafe class ColumnSumTests
{
    [Theory]
    [InlineData(0, 3, 3)]
    [InlineData(1, 1, 1)]
    [InlineData(130, 77, 80)]
    [InlineData(20_000, 5, 5)]
    public void Adds_the_sum_of_each_column(int rows, int columns, int stride)
    {
        float[] matrix = Samples.Uniform(rows * stride, 1), sums = Samples.Normal(columns, 2);
        double[] expected = Samples.Widen(sums);
        for (int row = 0; row < rows; row++)
        {
            for (int c = 0; c < columns; c++) expected[c] += matrix[(row * stride) + c];
        }

        ThreadInvariance.Check(() =>
        {
            float[] copy = [.. sums];
            fixed (float* source = matrix, target = copy) ColumnSum.Accumulate(source, rows, columns, stride, target);
            ErrorNorm.Require(copy, expected, 1e-6);
            return copy;
        });
    }
}
