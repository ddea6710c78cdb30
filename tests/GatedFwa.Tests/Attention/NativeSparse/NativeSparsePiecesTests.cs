using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>Each piece against its own reference: where the whole is wrong, this says which part.</summary>
public abstract class NativeSparsePiecesSuite(TestBackend backend) : TensorTest(backend)
{
    private const double Forward = NativeSparseCase.ForwardTolerance, Gradient = NativeSparseCase.BackwardTolerance;

    private static readonly NativeSparseOptions Options = new() { BlockSize = 6, BlockCount = 4 };

    /// <summary>Rows of two documents, after a prefix, and padded on the left.</summary>
    public static TheoryData<int> Problems => [0, 1, 2];

    [Theory]
    [MemberData(nameof(Problems))]
    public void Pooling_follows_its_reference(int index)
    {
        NativeSparseProblem problem = Problem(index);
        float[] x = Rounded(problem.Shape.KeyCount, 1), dPooled = Rounded(problem.PooledShape.Count, 2);
        Differentiated result = Differentiated.Run(
            Backend, dPooled, (tape, inputs) => BlockPooling.Apply(tape, problem, inputs[0]), (x, Keys(problem)));
        ErrorNorm.Require(result.Y, BlockPoolingReference.Forward(problem, Samples.Widen(x)), Backend.Forward(Forward));
        ErrorNorm.Require(result.Gradients[0], BlockPoolingReference.Backward(problem, Samples.Widen(dPooled)), Backend.Gradient(Gradient));
    }

    [Theory]
    [MemberData(nameof(Problems))]
    public void Compressed_attention_follows_its_reference(int index)
    {
        NativeSparseProblem problem = Problem(index);
        long means = problem.PooledShape.Count;
        float[] q = Rounded(problem.Shape.QueryCount, 1), k = Rounded(means, 2), v = Rounded(means, 3);
        float[] dO = Rounded(problem.Shape.QueryCount, 4), lse = [];
        Differentiated result = Differentiated.Run(
            Backend,
            dO,
            (tape, inputs) =>
            {
                Tensor o = CompressedAttention.Apply(tape, problem, inputs[0], inputs[1], inputs[2], out Tensor sums);
                lse = sums.ToArray();
                return o;
            },
            (q, Queries(problem)),
            (k, problem.PooledShape),
            (v, problem.PooledShape));
        (double[] o, double[] logSums) = CompressedAttentionReference.Forward(
            problem, Samples.Widen(q), Samples.Widen(k), Samples.Widen(v));
        (double[] dq, double[] dk, double[] dv) = CompressedAttentionReference.Backward(
            problem, Samples.Widen(q), Samples.Widen(k), Samples.Widen(v), Samples.Widen(dO));
        ErrorNorm.Require(lse, logSums, Backend.Forward(Forward));
        Hold(result, o, dq, dk, dv);
    }

    [Theory]
    [MemberData(nameof(Problems))]
    public void Selected_attention_follows_its_reference(int index)
    {
        NativeSparseProblem problem = Problem(index);
        float[] q = Rounded(problem.Shape.QueryCount, 1), k = Rounded(problem.Shape.KeyCount, 2), v = Rounded(problem.Shape.KeyCount, 3);
        float[] dO = Rounded(problem.Shape.QueryCount, 4);
        int[] indices = BlockSelectionReference.Select(
            problem,
            Samples.Widen(Rounded(problem.Shape.QueryCount, 5)),
            Samples.Widen(Rounded(problem.PooledShape.Count, 6)),
            new double[problem.Shape.LseCount]);
        Differentiated result = Differentiated.Run(
            Backend,
            dO,
            (tape, inputs) => SelectedAttention.Apply(
                tape, problem, inputs[0], inputs[1], inputs[2], tape.Own(Tensor.From(indices, problem.IndicesShape, Backend.Device))),
            (q, Queries(problem)),
            (k, Keys(problem)),
            (v, Keys(problem)));
        (double[] o, _) = SelectedAttentionReference.Forward(problem, Samples.Widen(q), Samples.Widen(k), Samples.Widen(v), indices);
        (double[] dq, double[] dk, double[] dv) = SelectedAttentionReference.Backward(
            problem, Samples.Widen(q), Samples.Widen(k), Samples.Widen(v), indices, Samples.Widen(dO));
        Hold(result, o, dq, dk, dv);
    }

    [Fact]
    public void The_mix_follows_its_reference()
    {
        Shape shape = [2, 7, 3, 24], gateShape = [2, 7, 3];
        float[][] gates = [.. Enumerable.Range(0, 3).Select(i => Samples.Uniform(gateShape.Count, (ulong)(10 + i)))];
        float[][] branches = [.. Enumerable.Range(0, 3).Select(i => Rounded(shape.Count, (ulong)(20 + i)))];
        float[] dO = Rounded(shape.Count, 30);
        Differentiated result = Differentiated.Run(
            Backend,
            dO,
            (tape, inputs) => BranchMix.Apply(tape, new BranchGates(inputs[0], inputs[1], inputs[2]), inputs[3], inputs[4], inputs[5]),
            [.. gates.Select(gate => Operand.Parameter(gate, gateShape)), .. branches.Select(branch => new Operand(branch, shape, false))]);
        double[][] wideGates = [.. gates.Select(gate => Samples.Widen(gate))];
        double[][] wideBranches = [.. branches.Select(branch => Samples.Widen(branch))];
        (double[][] dGates, double[][] dBranches) = BranchMixReference.Backward(wideGates, wideBranches, Samples.Widen(dO), 24);
        Hold(result, BranchMixReference.Forward(wideGates, wideBranches, 24), [.. dGates, .. dBranches]);
    }

    private static NativeSparseProblem Problem(int index) => index switch
    {
        0 => NativeSparseProblem.Check(
            new GatedWindowShape(1, 100, 100, 6, 2, 24), Options with { Layout = SequenceLayout.Packed([0, 31, 100]) }),
        1 => NativeSparseProblem.Check(new GatedWindowShape(2, 40, 75, 3, 1, 40), Options),
        _ => NativeSparseProblem.Check(
            new GatedWindowShape(2, 75, 75, 2, 2, 8), Options with { Layout = SequenceLayout.LeftPadded([20, 0]) }),
    };

    private static Shape Queries(NativeSparseProblem problem) =>
        [problem.Shape.Batch, problem.Shape.Tokens, problem.Shape.Heads, problem.Shape.HeadSize];

    private static Shape Keys(NativeSparseProblem problem) =>
        [problem.Shape.Batch, problem.Shape.Positions, problem.Shape.KeyHeads, problem.Shape.HeadSize];

    private float[] Rounded(long count, ulong seed) => Backend.Round(Samples.Normal(count, seed));

    private void Hold(Differentiated result, double[] y, params double[][] gradients)
    {
        ErrorNorm.Require(result.Y, y, Backend.Forward(Forward));
        for (int i = 0; i < gradients.Length; i++) ErrorNorm.Require(result.Gradients[i], gradients[i], Backend.Gradient(Gradient));
    }
}

public sealed class NativeSparsePiecesTests() : NativeSparsePiecesSuite(TestBackend.Cpu);

public sealed class NativeSparsePiecesCudaTests() : NativeSparsePiecesSuite(TestBackend.CudaFloat32);

public sealed class NativeSparsePiecesCudaBFloat16Tests() : NativeSparsePiecesSuite(TestBackend.CudaBFloat16);

public sealed class NativeSparsePiecesCudaFloat16Tests() : NativeSparsePiecesSuite(TestBackend.CudaFloat16);
