using System.Numerics;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class TokenShiftCuda
{
    private const int Warp = 32;

    private static readonly KernelSource Source = new(typeof(TokenShiftCuda), "token_shift.cu");

    /// <summary>Padding gives 0.</summary>
    public static void Forward(Tensor x, Tensor mix, SequenceLayout layout, Segment[] segments, Tensor? previous, Tensor y)
    {
        if (ShiftedRowsCuda.Fits(x))
        {
            new ShiftedRowsCuda(x, mix, layout, segments, previous).Forward(y);
            return;
        }

        var cut = new Cut(x);
        var sequences = new CudaSequences(x, layout, segments);
        using CudaStorage? starts = sequences.Starts(x.Cuda);
        x.Cuda.Kernel(Source, "token_shift_forward", [.. cut.Defines, sequences.Define]).Launch(
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
        if (ShiftedRowsCuda.Fits(x))
        {
            new ShiftedRowsCuda(x, mix, layout, segments, previous).Backward(dy, dx, storeDx, dmix, storeDmix);
            return;
        }

        var cut = new Cut(x);
        var sequences = new CudaSequences(x, layout, segments);
        using CudaStorage? starts = sequences.Starts(x.Cuda);
        x.Cuda.Kernel(Source, "token_shift_backward", [.. cut.Defines, sequences.Define]).Launch(
            cut.Launch,
            x.Origin, mix.Origin, previous, starts, segments.Length, dy, dx?.Origin ?? 0, storeDx, dmix?.Origin ?? 0, storeDmix,
            cut.Rows, x.Shape[1], x.Shape[2], cut.Stride, mix.RowStride(x.Shape[2]));
    }

    /// <summary>How rows, one head of one token each, are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly int _size, _pack, _lanes;
        private readonly DType _type;

        public Cut(Tensor x)
        {
            (Rows, _size, _type) = (x.Shape.Rows, x.Shape[^1], x.Type);
            Stride = x.RowStride(x.Shape[2] * _size);
            _pack = Math.Min(RowLaunch.PackOf(x.Type, _size), RowLaunch.PackOf(x, x.Shape[2] * _size));
            _lanes = Math.Clamp((int)BitOperations.RoundUpToPowerOf2((uint)(_size / _pack)), 1, Warp);
        }

        public int Rows { get; }

        /// <summary>Elements from one token of x to the next.</summary>
        public int Stride { get; }

        public LaunchShape Launch => RowLaunch.Over((long)Rows * _lanes);

        public KernelDefine[] Defines => [KernelDefine.Element(_type), ("SIZE", _size), ("PACK", _pack), ("LANES", _lanes)];
    }
}
