using System.Numerics;
using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class TokenShiftCuda
{
    private const int Warp = 32;

    private static readonly KernelSource Source = new(typeof(TokenShiftCuda), "token_shift.cu");

    private enum LayoutKind
    {
        Dense,
        Packed,
        Padded,
    }

    /// <summary>Padding gives 0.</summary>
    public static void Forward(Tensor x, Tensor mix, SequenceLayout layout, Segment[] segments, Tensor? previous, Tensor y)
    {
        var cut = new Cut(x, layout);
        using CudaStorage? starts = cut.Starts(x, segments);
        x.Cuda.Kernel(Source, "token_shift_forward", cut.Defines).Launch(
            cut.Launch,
            x.Origin, mix.Origin, previous, starts, segments.Length, y,
            cut.Rows, x.Shape[1], x.Shape[2], cut.Stride, mix.RowStride(x.Shape[2]));
    }

    /// <summary>Either gradient may be absent. Stores (zeros for padding) where the accumulator is fresh, else adds.</summary>
    public static void Backward(
        Tensor x,
        Tensor mix,
        SequenceLayout layout,
        Segment[] segments,
        Tensor? previous,
        Tensor dy,
        Tensor? dx,
        bool storeDx,
        Tensor? dmix,
        bool storeDmix)
    {
        var cut = new Cut(x, layout);
        using CudaStorage? starts = cut.Starts(x, segments);
        x.Cuda.Kernel(Source, "token_shift_backward", cut.Defines).Launch(
            cut.Launch,
            x.Origin, mix.Origin, previous, starts, segments.Length, dy, dx?.Origin ?? 0, storeDx, dmix?.Origin ?? 0, storeDmix,
            cut.Rows, x.Shape[1], x.Shape[2], cut.Stride, mix.RowStride(x.Shape[2]));
    }

    /// <summary>How rows, one head of one token each, are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly LayoutKind _layout;
        private readonly int _size, _pack, _lanes;
        private readonly DType _type;

        public Cut(Tensor x, SequenceLayout layout)
        {
            (Rows, _size, _type) = (x.Shape.Rows, x.Shape[^1], x.Type);
            _layout = layout.IsDense ? LayoutKind.Dense : layout.CoversEverything ? LayoutKind.Packed : LayoutKind.Padded;
            // Left padding of nothing: every row of the batch is one sequence.
            if (_layout == LayoutKind.Packed && x.Shape[0] != 1) _layout = LayoutKind.Dense;
            Stride = x.RowStride(x.Shape[2] * _size);
            _pack = Math.Min(RowLaunch.PackOf(x.Type, _size), RowLaunch.PackOf(x, x.Shape[2] * _size));
            _lanes = Math.Clamp((int)BitOperations.RoundUpToPowerOf2((uint)(_size / _pack)), 1, Warp);
        }

        public int Rows { get; }

        /// <summary>Elements from one token of x to the next.</summary>
        public int Stride { get; }

        public LaunchShape Launch => RowLaunch.Over((long)Rows * _lanes);

        public KernelDefine[] Defines =>
        [
            KernelDefine.Element(_type), ("SIZE", _size), ("PACK", _pack), ("LANES", _lanes), ("LAYOUT", (int)_layout),
        ];

        /// <summary>Where sequences begin, as the kernel reads it; none where they are the rows of the batch.</summary>
        public CudaStorage? Starts(Tensor x, Segment[] segments)
        {
            int[] starts;
            switch (_layout)
            {
                case LayoutKind.Packed:
                    starts = [.. segments.Select(segment => segment.Start), x.Shape[1]];
                    break;
                case LayoutKind.Padded:
                    starts = new int[x.Shape[0]];
                    Array.Fill(starts, x.Shape[1]); // A row without a segment is all padding.
                    foreach (Segment segment in segments) starts[segment.Batch] = segment.Start;
                    break;
                default:
                    return null;
            }

            CudaStorage storage = x.Cuda.Memory.Rent(starts.Length * sizeof(int));
            storage.CopyFromHost(MemoryMarshal.AsBytes(starts.AsSpan()), 0);
            return storage;
        }
    }
}
