using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class EmbeddingCpu
{
    // Columns that one thread owns while gradients are scattered: a token may come twice, a column belongs to one thread.
    private const int ColumnsPerBlock = 64;

    public static void Forward(Tensor tokens, Tensor table, Tensor y)
    {
        int width = table.Shape[1];
        RowKernel.Run(new GatherKernel(tokens.Integers, table.Floats, y.Floats, width), tokens.Count, RowKernel.RowsPerBlock(width));
    }

    /// <summary>Adds each token's gradient to its row of the table, in the order of the tokens.</summary>
    public static void Backward(Tensor tokens, Tensor dy, Tensor dtable)
    {
        int width = dtable.Shape[1];
        RowKernel.Run(new ScatterKernel(tokens.Integers, tokens.Count, dy.Floats, dtable.Floats, width), width, ColumnsPerBlock);
    }

    private readonly struct GatherKernel(int* tokens, float* table, float* y, int width) : IRowKernel
    {
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = first; row < last; row++)
                new ReadOnlySpan<float>(table + ((long)tokens[row] * width), width).CopyTo(new Span<float>(y + (row * width), width));
        }
    }

    /// <summary>Its rows are the columns of the table.</summary>
    private readonly struct ScatterKernel(int* tokens, long count, float* dy, float* dtable, int width) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = 0; row < count; row++)
            {
                float* source = dy + (row * width), target = dtable + ((long)tokens[row] * width);
                for (long c = first; c < last; c += S.Width)
                {
                    int lanes = (int)Math.Min(S.Width, last - c);
                    S.Store(S.Add(S.Load(target + c, lanes), S.Load(source + c, lanes)), target + c, lanes);
                }
            }
        }
    }
}
