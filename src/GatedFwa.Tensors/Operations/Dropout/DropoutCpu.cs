using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class DropoutCpu
{
    public static void Forward(Tensor x, float probability, CounterRandom random, Tensor y) =>
        RowKernel.Run(new Kernel(x.Floats, probability, random, y.Floats, store: true), x.Count);

    public static void Backward(Tensor dy, float probability, CounterRandom random, Tensor dx, bool storeDx) =>
        RowKernel.Run(new Kernel(dy.Floats, probability, random, dx.Floats, storeDx), dy.Count);

    private readonly struct Kernel(float* x, float probability, CounterRandom random, float* y, bool store) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            float* uniform = stackalloc float[S.Width];
            V threshold = S.Create(probability), scale = S.Create((float)(1 / (1 - (double)probability)));
            for (long i = first; i < last; i += S.Width)
            {
                int lanes = (int)Math.Min(S.Width, last - i);
                for (int lane = 0; lane < S.Width; lane++) uniform[lane] = random.Uniform(i + lane);
                V factor = S.Select(S.GreaterOrEqual(S.Load(uniform), threshold), scale, S.Zero);
                S.Store(S.MultiplyAdd(S.Load(x + i, lanes), factor, store ? S.Zero : S.Load(y + i, lanes)), y + i, lanes);
            }
        }
    }
}
