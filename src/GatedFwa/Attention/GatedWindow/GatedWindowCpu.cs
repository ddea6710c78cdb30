using System.Runtime.Intrinsics;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>Picks the vector width.</summary>
internal static unsafe class GatedWindowCpu
{
    /// <summary>Writes o and lse.</summary>
    public static void Forward(GatedWindowProblem problem, ForwardOperands operands)
    {
        if (!problem.CoversEverything) MarkAllUnseen(problem.Shape, operands);
        if (Simd.Width == 16) GatedWindowForwardCpu<Vector512<float>, Simd512>.Run(problem, operands);
        else if (Simd.Width == 8) GatedWindowForwardCpu<Vector256<float>, Simd256>.Run(problem, operands);
        else GatedWindowForwardCpu<Vector128<float>, Simd128>.Run(problem, operands);
    }

    /// <summary>Adds to the gradients.</summary>
    public static void Backward(GatedWindowProblem problem, BackwardOperands operands)
    {
        if (Simd.Width == 16) GatedWindowBackwardCpu<Vector512<float>, Simd512>.Run(problem, operands);
        else if (Simd.Width == 8) GatedWindowBackwardCpu<Vector256<float>, Simd256>.Run(problem, operands);
        else GatedWindowBackwardCpu<Vector128<float>, Simd128>.Run(problem, operands);
    }

    /// <summary>Queries in no segment see nothing: o = 0, lse = −∞. Those that do see something are written later.</summary>
    private static void MarkAllUnseen(GatedWindowShape shape, ForwardOperands operands)
    {
        for (int batch = 0; batch < shape.Batch; batch++)
        {
            for (int token = 0; token < shape.Tokens; token++)
                new Span<float>(operands.O.At(batch, token, 0), shape.Heads * shape.HeadSize).Clear();
        }

        for (long i = 0; i < shape.LseCount; i++) operands.Lse[i] = float.NegativeInfinity;
    }
}
