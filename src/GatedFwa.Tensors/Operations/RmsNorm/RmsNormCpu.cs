using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Operations;

/// <summary>Each row is read from memory once: its second and third readings find it in the first-level cache.</summary>
internal static unsafe class RmsNormCpu
{
    // The weight's gradient is summed in blocks of rows, then over the blocks.
    private const int GradientRowsPerBlock = 64;

    public static void Forward(Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        int width = weight.Shape[0];
        RowKernel.Run(new ForwardKernel(x.Floats, weight.Floats, y.Floats, width, epsilon), x.Shape.Rows, RowKernel.RowsPerBlock(width));
    }

    /// <summary>The scale of each row is recomputed: the row must be read anyway, and nothing need be kept.</summary>
    public static void Backward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor? dx, bool storeDx, Tensor? dweight)
    {
        int width = weight.Shape[0], blocks = (x.Shape.Rows + GradientRowsPerBlock - 1) / GradientRowsPerBlock;
        using CpuStorage? sums = dweight is null ? null : CpuMemory.Rent((long)blocks * width);
        float* sumRows = sums is null ? null : sums.Floats;
        RowKernel.Run(
            new BackwardKernel(x.Floats, weight.Floats, dy.Floats, dx is null ? null : dx.Floats, sumRows, storeDx, width, epsilon),
            x.Shape.Rows,
            GradientRowsPerBlock);
        if (dweight is not null) ColumnSum.Accumulate(sumRows, blocks, width, width, dweight.Floats);
    }

    private readonly struct ForwardKernel(float* x, float* weight, float* y, int width, float epsilon) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = first; row < last; row++)
            {
                float* source = x + (row * width), target = y + (row * width);
                V squares = S.Zero;
                for (int c = 0; c < width; c += S.Width)
                {
                    V value = S.Load(source + c, Math.Min(S.Width, width - c));
                    squares = S.MultiplyAdd(value, value, squares);
                }

                V scale = S.Create(1 / MathF.Sqrt((S.Sum(squares) / width) + epsilon));
                for (int c = 0; c < width; c += S.Width)
                {
                    int lanes = Math.Min(S.Width, width - c);
                    S.Store(S.Multiply(S.Multiply(S.Load(source + c, lanes), scale), S.Load(weight + c, lanes)), target + c, lanes);
                }
            }
        }
    }

    private readonly struct BackwardKernel(
        float* x, float* weight, float* dy, float* dx, float* dweightSums, bool storeDx, int width, float epsilon) : IRowKernel
    {
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            float* dweight = dweightSums == null ? null : dweightSums + (first / GradientRowsPerBlock * width);
            if (dweight != null) new Span<float>(dweight, width).Clear();
            for (long row = first; row < last; row++)
            {
                long offset = row * width;
                (float scale, float projection) = Statistics<V, S>(x + offset, dy + offset);
                Gradients<V, S>(x + offset, dy + offset, dx == null ? null : dx + offset, dweight, scale, projection);
            }
        }

        /// <summary>1/√(mean(x²) + ε), and mean(dy ∘ weight ∘ x) times its cube.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private (float Scale, float Projection) Statistics<V, S>(float* xRow, float* dyRow)
            where V : struct
            where S : struct, ISimd<V>
        {
            V squares = S.Zero, products = S.Zero;
            for (int c = 0; c < width; c += S.Width)
            {
                int lanes = Math.Min(S.Width, width - c);
                V value = S.Load(xRow + c, lanes);
                squares = S.MultiplyAdd(value, value, squares);
                products = S.MultiplyAdd(S.Multiply(S.Load(dyRow + c, lanes), S.Load(weight + c, lanes)), value, products);
            }

            float scale = 1 / MathF.Sqrt((S.Sum(squares) / width) + epsilon);
            return (scale, S.Sum(products) / width * scale * scale * scale);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Gradients<V, S>(float* xRow, float* dyRow, float* dxRow, float* dweight, float scale, float projection)
            where V : struct
            where S : struct, ISimd<V>
        {
            V scales = S.Create(scale), projections = S.Create(-projection);
            for (int c = 0; c < width; c += S.Width)
            {
                int lanes = Math.Min(S.Width, width - c);
                V value = S.Load(xRow + c, lanes), scaled = S.Multiply(S.Load(dyRow + c, lanes), scales);
                if (dweight != null) S.Store(S.MultiplyAdd(scaled, value, S.Load(dweight + c, lanes)), dweight + c, lanes);
                if (dxRow != null)
                {
                    V sum = S.MultiplyAdd(value, projections, storeDx ? S.Zero : S.Load(dxRow + c, lanes));
                    S.Store(S.MultiplyAdd(scaled, S.Load(weight + c, lanes), sum), dxRow + c, lanes);
                }
            }
        }
    }
}
