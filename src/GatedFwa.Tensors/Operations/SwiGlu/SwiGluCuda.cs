using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

internal static class SwiGluCuda
{
    private static readonly KernelSource Source = new(typeof(SwiGluCuda), "swiglu.cu");

    public static void Forward(Tensor gate, Tensor value, Tensor y)
    {
        var cut = new Cut(gate, value);
        y.Cuda.Kernel(Source, "swiglu_forward", cut.Defines).Launch(cut.Launch, gate.Origin, value.Origin, y, y.Count, cut.Stride);
    }

    /// <summary>Both gradients in one pass; either may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(Tensor gate, Tensor value, Tensor dy, Tensor? dgate, bool storeDgate, Tensor? dvalue, bool storeDvalue)
    {
        var cut = new Cut(gate, value);
        dy.Cuda.Kernel(Source, "swiglu_backward", cut.Defines).Launch(
            cut.Launch,
            gate.Origin, value.Origin, dy, dgate?.Origin ?? 0, storeDgate, dvalue?.Origin ?? 0, storeDvalue, dy.Count, cut.Stride);
    }

    /// <summary>How elements are dealt to threads.</summary>
    private readonly struct Cut
    {
        private readonly int _width, _pack;
        private readonly DType _type;
        private readonly long _count;

        public Cut(Tensor gate, Tensor value)
        {
            (_type, _count) = (gate.Type, gate.Count);
            _width = gate.Shape.Rank == 0 ? 1 : gate.Shape[^1];
            Stride = gate.RowStride(_width);
            if (value.RowStride(_width) != Stride)
            {
                throw new OperandException(
                    nameof(SwiGlu), "gate and value as columns of one tensor, or neither", $"rows {Stride} and {value.RowStride(_width)} apart");
            }

            _pack = Math.Min(RowLaunch.PackOf(gate, _width), RowLaunch.PackOf(value, _width));
        }

        /// <summary>Elements from one row of gate or value to the next.</summary>
        public int Stride { get; }

        public LaunchShape Launch => RowLaunch.Over(_count / _pack) with { Overlaps = true };

        public KernelDefine[] Defines => [KernelDefine.Element(_type), ("WIDTH", Math.Max(1, _width)), ("PACK", _pack)];
    }
}
