using System.Runtime.Intrinsics;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>Picks the vector width.</summary>
internal static unsafe class BlockSelectionCpu
{
    /// <summary>Writes the choice of every query, −1 in padding.</summary>
    public static void Select(NativeSparseProblem problem, Tensor q, Tensor pooledK, Tensor lse, Tensor indices)
    {
        if (!problem.CoversEverything) indices.AsIntegerSpan().Fill(-1);
        GatedWindowShape shape = problem.Shape;
        var operands = new SelectionOperands
        {
            Q = new HeadRows(q.Floats, shape.Tokens, shape.Heads, shape.HeadSize),
            PooledK = SparseOperands.KeyRows(shape, pooledK),
            Lse = lse.Floats,
            Indices = indices.Integers,
        };
        if (Simd.Width == 16) BlockCompetition<Vector512<float>, Simd512>.Run(problem, operands);
        else if (Simd.Width == 8) BlockCompetition<Vector256<float>, Simd256>.Run(problem, operands);
        else BlockCompetition<Vector128<float>, Simd128>.Run(problem, operands);
    }
}

/// <summary>Addresses of what the choice of blocks reads and writes.</summary>
internal unsafe struct SelectionOperands
{
    /// <summary>[B, T, H, D] and [B, C, Hkv, D].</summary>
    public HeadRows Q, PooledK;

    /// <summary>[B, H, T].</summary>
    public float* Lse;

    /// <summary>[B, Hkv, T, n].</summary>
    public int* Indices;
}
