namespace GatedFwa.Attention;

/// <summary>Where the rows of each head lie: [B, positions, heads, size] with free strides.</summary>
internal readonly unsafe struct HeadRows
{
    private readonly float* _data;
    private readonly nint _batchStride, _headStride;

    /// <summary>A contiguous tensor.</summary>
    public HeadRows(float* data, int positions, int heads, int size)
    {
        _data = data;
        RowStride = (nint)heads * size;
        _batchStride = positions * RowStride;
        _headStride = size;
    }

    /// <summary>Floats from one position to the next.</summary>
    public nint RowStride { get; }

    /// <summary>An operand that was not given, or a gradient that nobody wants.</summary>
    public bool IsMissing => _data == null;

    /// <summary>The row of a position; null where the operand is missing.</summary>
    public float* At(int batch, int position, int head) =>
        IsMissing ? null : _data + (batch * _batchStride) + (position * RowStride) + (head * _headStride);
}
