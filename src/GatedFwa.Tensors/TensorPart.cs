namespace GatedFwa.Tensors;

/// <summary>Which part of a matrix on a GPU a tensor is.</summary>
/// <param name="whole">[..., columns].</param>
/// <param name="first">The first row, or the first column.</param>
/// <param name="isColumns">
/// Columns lie apart: one row of them is followed by the rest of the whole's row. Rows are a tensor like any other.
/// </param>
internal sealed class TensorPart(Tensor whole, int first, bool isColumns)
{
    public Tensor Whole { get; } = whole;

    public int First { get; } = first;

    public bool IsColumns { get; } = isColumns;

    /// <summary>Whether these columns of the whole's gradient are set.</summary>
    public bool HasGradient { get; set; }
}
