namespace GatedFwa.Tensors;

/// <summary>
/// Where independent sequences lie in a <c>[batch, positions]</c> grid: one a row, several packed into one row, or padded on the
/// left.
/// </summary>
public sealed class SequenceLayout
{
    private readonly int[] _offsets;
    private readonly Kind _kind;

    private SequenceLayout(Kind kind, int[] offsets) => (_kind, _offsets) = (kind, offsets);

    private enum Kind
    {
        Dense,
        Packed,
        LeftPadded,
    }

    /// <summary>Every row of the batch is one sequence.</summary>
    public static SequenceLayout Dense { get; } = new(Kind.Dense, []);

    /// <summary>Documents packed one after the other into a batch of 1 (FlashAttention's <c>cu_seqlens</c>).</summary>
    /// <param name="cumulativeLengths">0, then the end of each document; never decreasing.</param>
    /// <exception cref="OperandException">The offsets do not begin at 0 or decrease.</exception>
    public static SequenceLayout Packed(ReadOnlySpan<int> cumulativeLengths)
    {
        if (cumulativeLengths.Length < 2 || cumulativeLengths[0] != 0)
        {
            throw new OperandException(
                nameof(SequenceLayout),
                "cu_seqlens that begin with 0 and name at least one end",
                $"[{string.Join(", ", cumulativeLengths.ToArray().Take(4))}]");
        }

        for (int i = 1; i < cumulativeLengths.Length; i++)
        {
            if (cumulativeLengths[i] < cumulativeLengths[i - 1])
            {
                throw new OperandException(
                    nameof(SequenceLayout),
                    "cu_seqlens that never decrease",
                    $"{cumulativeLengths[i]} after {cumulativeLengths[i - 1]}");
            }
        }

        return new(Kind.Packed, cumulativeLengths.ToArray());
    }

    /// <summary>Each row of the batch is one sequence that starts late; the positions before it are padding.</summary>
    /// <param name="starts">The first position of each row's sequence.</param>
    /// <exception cref="OperandException">A start is negative.</exception>
    public static SequenceLayout LeftPadded(ReadOnlySpan<int> starts)
    {
        foreach (int start in starts)
        {
            if (start < 0) throw new OperandException(nameof(SequenceLayout), "starts of at least 0", $"{start}");
        }

        return new(Kind.LeftPadded, starts.ToArray());
    }

    /// <summary>Whether every row of the batch is one sequence from its first position on.</summary>
    public bool IsDense => _kind == Kind.Dense;

    /// <summary>Whether every position belongs to a segment (no padding).</summary>
    public bool CoversEverything => _kind != Kind.LeftPadded || Array.TrueForAll(_offsets, start => start == 0);

    /// <summary>The segments of a grid, without empty ones, in order of batch and position.</summary>
    /// <param name="operation">The operation that asks, for the error's sentence.</param>
    /// <param name="batch">Rows of the grid.</param>
    /// <param name="positions">Columns of the grid.</param>
    /// <exception cref="OperandException">The layout does not fit the grid.</exception>
    internal Segment[] Segments(string operation, int batch, int positions)
    {
        switch (_kind)
        {
            case Kind.Packed:
                if (batch != 1) throw new OperandException(operation, "a batch of 1 where documents are packed", $"a batch of {batch}");
                if (_offsets[^1] != positions)
                    throw new OperandException(operation, $"cu_seqlens that end at {positions} positions", $"{_offsets[^1]}");
                return [.. _offsets.Zip(_offsets.Skip(1), (start, end) => new Segment(0, start, end)).Where(segment => segment.Length > 0)];
            case Kind.LeftPadded:
                if (_offsets.Length != batch)
                    throw new OperandException(operation, $"one start for each of {batch} rows", $"{_offsets.Length} starts");
                if (_offsets.Any(start => start > positions))
                    throw new OperandException(operation, $"starts of at most {positions}", $"{_offsets.Max()}");
                return [.. _offsets.Select((start, row) => new Segment(row, start, positions)).Where(segment => segment.Length > 0)];
            default:
                return positions == 0 ? [] : [.. Enumerable.Range(0, batch).Select(row => new Segment(row, 0, positions))];
        }
    }
}
