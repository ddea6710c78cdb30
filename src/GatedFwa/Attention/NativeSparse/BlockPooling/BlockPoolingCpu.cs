using System.Runtime.CompilerServices;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

internal static unsafe class BlockPoolingCpu
{
    /// <summary>Writes [B, C, Hkv, D]: the blocks of each document from one on.</summary>
    public static void Forward(NativeSparseProblem problem, Tensor x, Tensor pooled, int firstBlock)
    {
        if (firstBlock == 0) Clear(problem, pooled);
        ForEachDocument(problem, x, pooled, firstBlock, isForward: true);
    }

    /// <summary>dx += dPooled / ℓ for the tokens of complete blocks; the others do not matter to the result.</summary>
    public static void Backward(NativeSparseProblem problem, Tensor dPooled, GradientTarget dx)
    {
        if (dx.Cleared().Tensor is { } gradient) ForEachDocument(problem, gradient, dPooled, firstBlock: 0, isForward: false);
    }

    private static void ForEachDocument(NativeSparseProblem problem, Tensor x, Tensor pooled, int firstBlock, bool isForward)
    {
        int row = problem.Shape.KeyHeads * problem.Shape.HeadSize;
        foreach (SegmentBlocks blocks in problem.Blocks.Segments)
        {
            long first = ((long)blocks.Segment.Batch * x.Shape[1]) + blocks.Segment.Start + ((long)firstBlock * blocks.Size);
            long firstPooled = ((long)blocks.Segment.Batch * pooled.Shape[1]) + blocks.FirstPooled + firstBlock;
            var kernel = new Kernel(x.Floats + (first * row), pooled.Floats + (firstPooled * row), problem.BlockSize, row, isForward);
            RowKernel.Run(kernel, Math.Max(0, blocks.Complete - firstBlock), RowKernel.RowsPerBlock((long)problem.BlockSize * row));
        }
    }

    /// <summary>Rows that belong to no block are read by nobody but must not be noise.</summary>
    private static void Clear(NativeSparseProblem problem, Tensor pooled)
    {
        bool isFull = problem.Blocks.Segments.Sum(blocks => (long)blocks.Complete) == (long)problem.Shape.Batch * problem.Blocks.PooledRows;
        if (!isFull) pooled.Clear();
    }

    /// <summary>The blocks of one document, one of them a row.</summary>
    private readonly struct Kernel(float* x, float* pooled, int size, int width, bool isForward) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            V share = S.Create(1f / size);
            for (long block = first; block < last; block++)
            {
                float* tokens = x + (block * size * width), mean = pooled + (block * width);
                for (int d = 0; d < width; d += S.Width)
                {
                    int lanes = Math.Min(S.Width, width - d);
                    if (isForward) S.Store(S.Multiply(Sum<V, S>(tokens + d, lanes), share), mean + d, lanes);
                    else Spread<V, S>(S.Multiply(S.Load(mean + d, lanes), share), tokens + d, lanes);
                }
            }
        }

        /// <remarks>In runs of 16: a sum over a long block is then one of runs, whose rounding errors are few.</remarks>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private V Sum<V, S>(float* tokens, int lanes)
            where V : struct
            where S : struct, ISimd<V>
        {
            const int Run = 16;
            V sum = S.Zero;
            for (int start = 0; start < size; start += Run)
            {
                V run = S.Zero;
                int end = Math.Min(size, start + Run);
                for (int token = start; token < end; token++) run = S.Add(run, S.Load(tokens + ((nint)token * width), lanes));
                sum = S.Add(sum, run);
            }

            return sum;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Spread<V, S>(V share, float* tokens, int lanes)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (int token = 0; token < size; token++, tokens += width) S.Store(S.Add(S.Load(tokens, lanes), share), tokens, lanes);
        }
    }
}
