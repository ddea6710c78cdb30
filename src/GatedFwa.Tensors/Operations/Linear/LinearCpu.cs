using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class LinearCpu
{
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

    /// <summary>dx (+)= dy · W.</summary>
    public static void InputGradient(Tensor dy, Tensor weight, Tensor dx, bool accumulate) =>
        MatrixProduct.Multiply(Rows(dy), Rows(weight), dx.Floats, weight.Shape[1], accumulate);

    /// <summary>dW (+)= dyᵀ · x.</summary>
    public static void WeightGradient(Tensor dy, Tensor x, Tensor dweight, bool accumulate) =>
        MatrixProduct.Multiply(Rows(dy).Transposed, Rows(x), dweight.Floats, dweight.Shape[1], accumulate);

    /// <summary>db += the sum of the rows of dy.</summary>
    public static void AccumulateBias(Tensor dy, Tensor dbias) =>
        ColumnSum.Accumulate(dy.Floats, dy.Shape.Rows, dbias.Shape[0], dbias.Shape[0], dbias.Floats);

    /// <summary>A tensor as a matrix: everything but the innermost axis is rows.</summary>
    private static StridedMatrix Rows(Tensor tensor) => StridedMatrix.RowMajor(tensor.Floats, tensor.Shape.Rows, tensor.Shape[^1]);
}
