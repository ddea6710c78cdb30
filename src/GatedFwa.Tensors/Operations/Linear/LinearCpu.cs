using System.Numerics.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class LinearCpu
{
    // Columns of dy that one item sums: whole cache lines, and enough of them to read memory in runs.
    private const int BiasColumns = 128;

    // A float adds up so many rows before it joins the total: the error of a sum grows with its length.
    private const int BiasRows = 64;

    public static void Forward(Tensor x, Tensor weight, Tensor? bias, Tensor y)
    {
        StridedMatrix input = Rows(x), w = Rows(weight);
        int outputs = w.Rows;
        float* result = y.Floats;
        if (bias is not null)
        {
            var row = new ReadOnlySpan<float>(bias.Floats, outputs);
            for (int i = 0; i < input.Rows; i++) row.CopyTo(new Span<float>(result + ((nint)i * outputs), outputs));
        }

        MatrixProduct.Multiply(input, w.Transposed, result, outputs, accumulate: bias is not null);
    }

    /// <summary>dx += dy · W.</summary>
    public static void AccumulateInput(Tensor dy, Tensor weight, Tensor dx) =>
        MatrixProduct.Multiply(Rows(dy), Rows(weight), dx.Floats, weight.Shape[1], accumulate: true);

    /// <summary>dW += dyᵀ · x.</summary>
    public static void AccumulateWeight(Tensor dy, Tensor x, Tensor dWeight) =>
        MatrixProduct.Multiply(Rows(dy).Transposed, Rows(x), dWeight.Floats, dWeight.Shape[1], accumulate: true);

    /// <summary>db += the sum of the rows of dy, in one order whatever the number of threads.</summary>
    public static void AccumulateBias(Tensor dy, Tensor dBias)
    {
        StridedMatrix gradient = Rows(dy);
        float* total = dBias.Floats;
        WorkerPool.Shared.For(Blocking.Pieces(gradient.Columns, BiasColumns), item =>
        {
            int column = item * BiasColumns, columns = Math.Min(BiasColumns, gradient.Columns - column);
            var sum = new Span<float>(total + column, columns);
            Span<float> part = stackalloc float[BiasColumns];
            part = part[..columns];
            for (int first = 0; first < gradient.Rows; first += BiasRows)
            {
                part.Clear();
                int end = Math.Min(gradient.Rows, first + BiasRows);
                for (int row = first; row < end; row++) TensorPrimitives.Add(part, new ReadOnlySpan<float>(gradient.At(row, column), columns), part);
                TensorPrimitives.Add(sum, part, sum);
            }
        });
    }

    /// <summary>A tensor as a matrix: everything but the innermost axis is rows.</summary>
    private static StridedMatrix Rows(Tensor tensor) => StridedMatrix.RowMajor(tensor.Floats, tensor.Shape.Rows, tensor.Shape[^1]);
}
