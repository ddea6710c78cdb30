using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class SigmoidCpu
{
    public static void Forward(Tensor x, ColumnRun run, Tensor y) =>
        RowKernel.Run(new ForwardKernel(x.Floats + run.First, y.Floats, run.Width, run.Count), run.Rows, RowKernel.RowsPerBlock(run.Count));

    /// <summary>dx += dy · y (1 − y).</summary>
    public static void Backward(Tensor y, Tensor dy, ColumnRun run, Tensor dx) => RowKernel.Run(
        new BackwardKernel(y.Floats, dy.Floats, dx.Floats + run.First, run.Width, run.Count), run.Rows, RowKernel.RowsPerBlock(run.Count));

    private readonly struct ForwardKernel(float* x, float* y, int width, int count) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = first; row < last; row++)
            {
                for (int i = 0; i < count; i += S.Width)
                {
                    int lanes = Math.Min(S.Width, count - i);
                    S.Store(SimdMath<V, S>.Sigmoid(S.Load(x + (row * width) + i, lanes)), y + (row * count) + i, lanes);
                }
            }
        }
    }

    private readonly struct BackwardKernel(float* y, float* dy, float* dx, int width, int count) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = first; row < last; row++)
            {
                for (int i = 0; i < count; i += S.Width)
                {
                    int lanes = Math.Min(S.Width, count - i);
                    V result = S.Load(y + (row * count) + i, lanes), upstream = S.Load(dy + (row * count) + i, lanes);
                    V slope = S.Multiply(result, S.Subtract(S.Create(1f), result));
                    float* target = dx + (row * width) + i;
                    S.Store(S.MultiplyAdd(upstream, slope, S.Load(target, lanes)), target, lanes);
                }
            }
        }
    }
}
