using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class RotaryCpu
{
    public static void Forward(Tensor x, Tensor table, Tensor y) => Rotate(x, table, 1, y, store: true);

    /// <summary>Turns the gradient back.</summary>
    public static void Backward(Tensor dy, Tensor table, Tensor dx, bool storeDx) => Rotate(dy, table, -1, dx, storeDx);

    private static void Rotate(Tensor x, Tensor table, float direction, Tensor y, bool store)
    {
        (int heads, int size) = (x.Shape[2], x.Shape[3]);
        RowKernel.Run(
            new Kernel(x.Floats, table.Floats, y.Floats, table.Shape[0], heads, size, direction, store),
            (long)x.Shape[0] * x.Shape[1],
            RowKernel.RowsPerBlock((long)heads * size));
    }

    /// <summary>A row is one token: all its heads turn by the same angles.</summary>
    private readonly struct Kernel(
        float* x, float* table, float* y, int tableRows, int heads, int size, float direction, bool store) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            int half = size / 2;
            V directions = S.Create(direction);
            for (long row = first; row < last; row++)
            {
                float* cosines = table + (row % tableRows * size);
                for (int head = 0; head < heads; head++)
                {
                    long offset = ((row * heads) + head) * size;
                    for (int j = 0; j < half; j += S.Width)
                    {
                        int lanes = Math.Min(S.Width, half - j);
                        V cos = S.Load(cosines + j, lanes), sin = S.Multiply(S.Load(cosines + half + j, lanes), directions);
                        float* source = x + offset + j, target = y + offset + j;
                        V x1 = S.Load(source, lanes), x2 = S.Load(source + half, lanes);
                        V y1 = S.MultiplyAdd(x1, cos, S.Negate(S.Multiply(x2, sin))), y2 = S.MultiplyAdd(x2, cos, S.Multiply(x1, sin));
                        S.Store(store ? y1 : S.Add(y1, S.Load(target, lanes)), target, lanes);
                        S.Store(store ? y2 : S.Add(y2, S.Load(target + half, lanes)), target + half, lanes);
                    }
                }
            }
        }
    }
}
