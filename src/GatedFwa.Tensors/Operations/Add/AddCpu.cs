using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class AddCpu
{
    public static void Forward(Tensor a, Tensor b, Tensor y) => RowKernel.Run(new Sum(a.Floats, b.Floats, y.Floats), y.Count);

    /// <summary>sum += term.</summary>
    public static void Accumulate(Tensor term, Tensor sum) => RowKernel.Run(new Sum(sum.Floats, term.Floats, sum.Floats), sum.Count);

    private readonly struct Sum(float* a, float* b, float* y) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long i = first; i < last; i += S.Width)
            {
                int lanes = (int)Math.Min(S.Width, last - i);
                S.Store(S.Add(S.Load(a + i, lanes), S.Load(b + i, lanes)), y + i, lanes);
            }
        }
    }
}
