using System.Numerics;
using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class ReduceCpu
{
    private const int ElementsPerBlock = 16 * 1024;

    /// <summary>The sum of all elements: in double inside each block, then over the blocks in order.</summary>
    public static double Sum(Tensor x)
    {
        int blocks = checked((int)((x.Count + ElementsPerBlock - 1) / ElementsPerBlock));
        var sums = new double[blocks];
        float* values = x.Floats;
        long count = x.Count;
        WorkerPool.Shared.For(blocks, block =>
        {
            long first = (long)block * ElementsPerBlock;
            sums[block] = Sum(new ReadOnlySpan<float>(values + first, (int)Math.Min(ElementsPerBlock, count - first)));
        });
        return sums.Sum();
    }

    /// <summary>Stores or adds one value everywhere.</summary>
    public static void Spread(float value, Tensor dx, bool storeDx) => RowKernel.Run(new SpreadKernel(value, dx.Floats, storeDx), dx.Count);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double Sum(ReadOnlySpan<float> values)
    {
        Vector<double> low = default, high = default;
        int i = 0;
        for (; i + Vector<float>.Count <= values.Length; i += Vector<float>.Count)
        {
            Vector.Widen(new Vector<float>(values[i..]), out Vector<double> lower, out Vector<double> upper);
            low += lower;
            high += upper;
        }

        double sum = Vector.Sum(low + high);
        for (; i < values.Length; i++) sum += values[i];
        return sum;
    }

    private readonly struct SpreadKernel(float value, float* dx, bool storeDx) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            V term = S.Create(value);
            for (long i = first; i < last; i += S.Width)
            {
                int lanes = (int)Math.Min(S.Width, last - i);
                S.Store(storeDx ? term : S.Add(S.Load(dx + i, lanes), term), dx + i, lanes);
            }
        }
    }
}
