using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

/// <summary>Where sequences lie, as kernels read it (<c>token_place.cuh</c>).</summary>
internal readonly struct CudaSequences
{
    private readonly Kind _kind;
    private readonly Segment[] _segments;
    private readonly int _batch, _tokens;

    /// <param name="x">[B, T, …].</param>
    /// <param name="layout">Where its sequences lie.</param>
    /// <param name="segments">The same, one after the other.</param>
    public CudaSequences(Tensor x, SequenceLayout layout, Segment[] segments)
    {
        (_batch, _tokens, _segments) = (x.Shape[0], x.Shape[1], segments);
        _kind = layout.IsDense ? Kind.Dense : layout.CoversEverything ? Kind.Packed : Kind.Padded;
        // Left padding of nothing: every row of the batch is one sequence.
        if (_kind == Kind.Packed && _batch != 1) _kind = Kind.Dense;
    }

    private enum Kind
    {
        Dense,
        Packed,
        Padded,
    }

    public int Count => _segments.Length;

    public KernelDefine Define => ("LAYOUT", (int)_kind);

    /// <summary>Where sequences begin; none where they are the rows of the batch.</summary>
    public CudaStorage? Starts(CudaDevice device)
    {
        int[] starts;
        switch (_kind)
        {
            case Kind.Packed:
                starts = [.. _segments.Select(segment => segment.Start), _tokens];
                break;
            case Kind.Padded:
                starts = new int[_batch];
                Array.Fill(starts, _tokens); // A row without a segment is all padding.
                foreach (Segment segment in _segments) starts[segment.Batch] = segment.Start;
                break;
            default:
                return null;
        }

        CudaStorage storage = device.Memory.Rent(starts.Length * sizeof(int));
        storage.CopyFromHost(MemoryMarshal.AsBytes(starts.AsSpan()), 0);
        return storage;
    }
}
