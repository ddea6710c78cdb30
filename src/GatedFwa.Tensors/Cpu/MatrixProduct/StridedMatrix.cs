namespace GatedFwa.Tensors.Cpu;

/// <summary>Where the elements of a matrix lie: a transpose is the same memory with its strides exchanged.</summary>
internal readonly unsafe struct StridedMatrix(float* data, int rows, int columns, nint rowStride, nint columnStride)
{
    public readonly float* Data = data;
    public readonly int Rows = rows;
    public readonly int Columns = columns;

    /// <summary>Floats from an element to the one below.</summary>
    public readonly nint RowStride = rowStride;

    /// <summary>Floats from an element to the one on its right.</summary>
    public readonly nint ColumnStride = columnStride;

    public StridedMatrix Transposed => new(Data, Columns, Rows, ColumnStride, RowStride);

    /// <summary>A row-major matrix without gaps.</summary>
    public static StridedMatrix RowMajor(float* data, int rows, int columns) => new(data, rows, columns, columns, 1);

    public float* At(nint row, nint column) => Data + (row * RowStride) + (column * ColumnStride);

    public StridedMatrix Block(int row, int rows, int column, int columns) => new(At(row, column), rows, columns, RowStride, ColumnStride);
}
