using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>Softmax attention of every query to the keys that a pattern lets it see: picks the vector width.</summary>
internal static unsafe class SparseAttentionCpu
{
    /// <summary>Writes o and lse.</summary>
    public static void Forward(NativeSparseProblem problem, SparsePattern pattern, Tensor q, Tensor k, Tensor v, Tensor o, Tensor lse)
    {
        if (!problem.CoversEverything)
        {
            o.Clear();
            lse.AsSpan().Fill(float.NegativeInfinity);
        }

        var operands = new SparseOperands(problem.Shape, q, k, v, o, lse);
        if (Simd.Width == 16) SparseForwardCpu<Vector512<float>, Simd512>.Run(problem, pattern, operands);
        else if (Simd.Width == 8) SparseForwardCpu<Vector256<float>, Simd256>.Run(problem, pattern, operands);
        else SparseForwardCpu<Vector128<float>, Simd128>.Run(problem, pattern, operands);
    }

    /// <summary>Adds to the gradients.</summary>
    public static void Backward(
        NativeSparseProblem problem,
        SparsePattern pattern,
        Tensor q,
        Tensor k,
        Tensor v,
        Tensor o,
        Tensor lse,
        Tensor dO,
        QkvGradients targets)
    {
        GatedWindowShape shape = problem.Shape;
        using CpuStorage statistics = CpuMemory.Rent(2 * shape.LseCount);
        float* lseLog2 = statistics.Floats, delta = lseLog2 + shape.LseCount;
        RowKernel.Run(
            new StatisticsKernel(o.Floats, dO.Floats, lse.Floats, shape, lseLog2, delta),
            shape.LseCount,
            RowKernel.RowsPerBlock(shape.HeadSize));

        targets = targets.Cleared();
        // Where an input is query and key at a time, two ranges of a wave would meet in one row: its gradients are added afterwards.
        Storage? own = targets.Dq.Tensor?.Storage;
        bool meet = own is not null && (targets.Dk.Tensor?.Storage == own || targets.Dv.Tensor?.Storage == own);
        using Tensor? apart = meet ? Tensor.Zeros(q.Shape) : null;
        var operands = new SparseOperands(shape, q, k, v, o, lse);
        var gradients = new SparseGradients(shape, dO, lseLog2, delta, apart is null ? targets : targets with { Dq = new(apart, false) });
        if (Simd.Width == 16) SparseBackwardCpu<Vector512<float>, Simd512>.Run(problem, pattern, operands, gradients);
        else if (Simd.Width == 8) SparseBackwardCpu<Vector256<float>, Simd256>.Run(problem, pattern, operands, gradients);
        else SparseBackwardCpu<Vector128<float>, Simd128>.Run(problem, pattern, operands, gradients);
        if (apart is not null) AddCpu.Accumulate(apart, targets.Dq.Tensor!);
    }

    /// <summary>What the backward pass keeps of each row of [B, T, H]: lse in log2 units and δ = o·dO.</summary>
    private readonly struct StatisticsKernel(
        float* o, float* dO, float* lse, GatedWindowShape shape, float* lseLog2, float* delta) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            int size = shape.HeadSize;
            for (long row = first; row < last; row++)
            {
                V sum = S.Zero;
                for (int d = 0; d < size; d += S.Width)
                {
                    int lanes = Math.Min(S.Width, size - d);
                    sum = S.MultiplyAdd(S.Load(o + (row * size) + d, lanes), S.Load(dO + (row * size) + d, lanes), sum);
                }

                (long query, long head) = Math.DivRem(row, shape.Heads);
                (long batch, long token) = Math.DivRem(query, shape.Tokens);
                lseLog2[row] = (float)(lse[(((batch * shape.Heads) + head) * shape.Tokens) + token] * Units.Log2E);
                delta[row] = S.Sum(sum);
            }
        }
    }
}
