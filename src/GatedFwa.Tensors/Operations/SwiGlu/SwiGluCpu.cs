using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class SwiGluCpu
{
    public static void Forward(Tensor gate, Tensor value, Tensor y) =>
        RowKernel.Run(new ForwardKernel(gate.Floats, value.Floats, y.Floats), y.Count);

    /// <summary>Both gradients in one pass; either may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(Tensor gate, Tensor value, Tensor dy, Tensor? dgate, bool storeDgate, Tensor? dvalue, bool storeDvalue) =>
        RowKernel.Run(
            new BackwardKernel(gate.Floats, value.Floats, dy.Floats, dgate is null ? null : dgate.Floats, storeDgate, dvalue is null ? null : dvalue.Floats, storeDvalue),
            dy.Count);

    private readonly struct ForwardKernel(float* gate, float* value, float* y) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long i = first; i < last; i += S.Width)
            {
                int lanes = (int)Math.Min(S.Width, last - i);
                V g = S.Load(gate + i, lanes);
                S.Store(S.Multiply(S.Multiply(g, SimdMath<V, S>.Sigmoid(g)), S.Load(value + i, lanes)), y + i, lanes);
            }
        }
    }

    private readonly struct BackwardKernel(
        float* gate, float* value, float* dy, float* dgate, bool storeDgate, float* dvalue, bool storeDvalue) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            V one = S.Create(1f);
            for (long i = first; i < last; i += S.Width)
            {
                int lanes = (int)Math.Min(S.Width, last - i);
                V g = S.Load(gate + i, lanes), upstream = S.Load(dy + i, lanes);
                V sigmoid = SimdMath<V, S>.Sigmoid(g);
                V scaled = S.Multiply(upstream, sigmoid);
                // In this order: where gate and value are one tensor, the second adds to what the first stored.
                if (dgate != null)
                {
                    // silu′(g) = σ (1 + g (1 − σ))
                    V slope = S.MultiplyAdd(g, S.Subtract(one, sigmoid), one);
                    V sum = storeDgate ? S.Zero : S.Load(dgate + i, lanes);
                    S.Store(S.MultiplyAdd(S.Multiply(scaled, S.Load(value + i, lanes)), slope, sum), dgate + i, lanes);
                }

                if (dvalue != null)
                {
                    V sum = storeDvalue ? S.Zero : S.Load(dvalue + i, lanes);
                    S.Store(S.MultiplyAdd(scaled, g, sum), dvalue + i, lanes);
                }
            }
        }
    }
}
