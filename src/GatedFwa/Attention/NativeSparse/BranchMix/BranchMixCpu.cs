using System.Runtime.CompilerServices;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

internal static unsafe class BranchMixCpu
{
    public static void Forward(BranchGates gates, Branches branches, Tensor o)
    {
        int size = o.Shape[^1];
        var kernel = new ForwardKernel(
            new Floats3(gates.Compressed, gates.Selected, gates.Window),
            new Floats3(branches.Compressed, branches.Selected, branches.Window),
            o.Floats,
            size);
        RowKernel.Run(kernel, o.Shape.Rows, RowKernel.RowsPerBlock(size));
    }

    /// <summary>All six gradients in one pass; any may be absent. Stores where the accumulator is fresh, else adds.</summary>
    public static void Backward(BranchGates gates, Branches branches, Tensor dO, BranchGradients dGates, BranchGradients dBranches)
    {
        int size = dO.Shape[^1];
        Run(gates.Compressed, branches.Compressed, dGates.Compressed, dBranches.Compressed);
        Run(gates.Selected, branches.Selected, dGates.Selected, dBranches.Selected);
        Run(gates.Window, branches.Window, dGates.Window, dBranches.Window);

        void Run(Tensor gate, Tensor branch, GradientTarget dGate, GradientTarget dBranch) => RowKernel.Run(
            new BackwardKernel(gate.Floats, branch.Floats, dO.Floats, size, new Target(dGate), new Target(dBranch)),
            dO.Shape.Rows,
            RowKernel.RowsPerBlock(size));
    }

    /// <summary>Three addresses.</summary>
    private readonly struct Floats3(Tensor a, Tensor b, Tensor c)
    {
        public readonly float* A = a.Floats, B = b.Floats, C = c.Floats;
    }

    /// <summary>The address of an accumulator, or null, and whether to store to it.</summary>
    private readonly struct Target(GradientTarget target)
    {
        public readonly float* Floats = target.Tensor is null ? null : target.Tensor.Floats;
        public readonly bool Stores = target.IsFresh;
    }

    private readonly struct ForwardKernel(Floats3 gates, Floats3 branches, float* o, int size) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = first; row < last; row++)
            {
                V a = S.Create(gates.A[row]), b = S.Create(gates.B[row]), c = S.Create(gates.C[row]);
                for (long i = row * size, end = i + size; i < end; i += S.Width)
                {
                    int lanes = (int)Math.Min(S.Width, end - i);
                    V sum = S.Multiply(a, S.Load(branches.A + i, lanes));
                    sum = S.MultiplyAdd(b, S.Load(branches.B + i, lanes), sum);
                    S.Store(S.MultiplyAdd(c, S.Load(branches.C + i, lanes), sum), o + i, lanes);
                }
            }
        }
    }

    /// <summary>One branch: dGate = Σ_d dO · branch, dBranch = gate · dO.</summary>
    private readonly struct BackwardKernel(float* gate, float* branch, float* dO, int size, Target dGate, Target dBranch) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long row = first; row < last; row++)
            {
                V weight = S.Create(gate[row]), dot = S.Zero;
                for (long i = row * size, end = i + size; i < end; i += S.Width)
                {
                    int lanes = (int)Math.Min(S.Width, end - i);
                    V upstream = S.Load(dO + i, lanes);
                    dot = S.MultiplyAdd(upstream, S.Load(branch + i, lanes), dot);
                    if (dBranch.Floats == null) continue;
                    V sum = dBranch.Stores ? S.Zero : S.Load(dBranch.Floats + i, lanes);
                    S.Store(S.MultiplyAdd(weight, upstream, sum), dBranch.Floats + i, lanes);
                }

                if (dGate.Floats != null) dGate.Floats[row] = (dGate.Stores ? 0 : dGate.Floats[row]) + S.Sum(dot);
            }
        }
    }
}
