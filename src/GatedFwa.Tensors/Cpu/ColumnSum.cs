using System.Runtime.CompilerServices;

namespace GatedFwa.Tensors.Cpu;

/// <summary>Sums over the rows of a matrix: the gradient of everything that was added to, or multiplied into, each row.</summary>
internal static unsafe class ColumnSum
{
    // A cache line times four: what one item reads of each row.
    private const int ColumnsPerBlock = 64;

    // Sums of sums: the rounding error of a long column stays that of a short one.
    private const int RowsPerSum = 64;

    /// <summary>sums[c] += Σ_r matrix[r · stride + c].</summary>
    public static void Accumulate(float* matrix, long rows, int columns, long stride, float* sums) =>
        RowKernel.Run(new Kernel(matrix, rows, stride, sums), columns, ColumnsPerBlock);

    private readonly struct Kernel(float* matrix, long rows, long stride, float* sums) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long start = 0; start < rows; start += RowsPerSum)
            {
                long end = Math.Min(rows, start + RowsPerSum);
                for (long c = first; c < last; c += S.Width)
                {
                    int lanes = (int)Math.Min(S.Width, last - c);
                    V sum = S.Zero;
                    for (long row = start; row < end; row++) sum = S.Add(sum, S.Load(matrix + (row * stride) + c, lanes));
                    S.Store(S.Add(S.Load(sums + c, lanes), sum), sums + c, lanes);
                }
            }
        }
    }
}
