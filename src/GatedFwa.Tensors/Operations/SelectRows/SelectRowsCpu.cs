using System.Numerics.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class SelectRowsCpu
{
    public static void Forward(Tensor x, Tensor rows, Tensor y)
    {
        int width = y.Shape[1];
        float* source = x.Floats, target = y.Floats;
        int* from = rows.Integers;
        Run(rows, width, row => Row(source, from[row], width).CopyTo(Row(target, row, width)));
    }

    /// <summary>dx[rows_i] += dy_i. No row comes twice: any thread may have any.</summary>
    public static void Backward(Tensor rows, Tensor dy, Tensor dx)
    {
        int width = dy.Shape[1];
        float* source = dy.Floats, target = dx.Floats;
        int* to = rows.Integers;
        Run(rows, width, row =>
        {
            Span<float> sum = Row(target, to[row], width);
            TensorPrimitives.Add(sum, Row(source, row, width), sum);
        });
    }

    private static Span<float> Row(float* matrix, int row, int width) => new(matrix + ((nint)row * width), width);

    private static void Run(Tensor rows, int width, Action<int> body)
    {
        int count = rows.Shape[0], each = (int)RowKernel.RowsPerBlock(width);
        WorkerPool.Shared.For(Blocking.Pieces(count, each), block =>
        {
            for (int row = block * each; row < Math.Min(count, (block + 1) * each); row++) body(row);
        });
    }
}
