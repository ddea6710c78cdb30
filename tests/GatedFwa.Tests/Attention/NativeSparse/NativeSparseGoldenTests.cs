using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>The kernels and the reference against the oracle's files, within the tolerances of docs/precision.md.</summary>
public abstract class NativeSparseGoldenSuite(TestBackend backend) : TensorTest(backend)
{
    private static readonly string[] Gradients = ["dq", "dk", "dv", "dalpha", "dg_cmp", "dg_slc", "dg_win"];

    public static TheoryData<string> Files => Golden.Names("nsa");

    [Theory]
    [MemberData(nameof(Files))]
    public void The_kernels_reach_the_golden_files(string file)
    {
        using Golden golden = Golden.Open(file);
        NativeSparseCase c = NativeSparseCase.Of(golden, Backend);
        // The files' results are those of unrounded inputs.
        if (Backend.Activations != DType.F32)
        {
            c.FollowsTheReference();
            return;
        }

        NativeSparseResult result = c.Run();
        Assert.Equal(Sets(golden.Integers("block_indices"), c.Options.BlockCount), Sets(result.Indices, c.Options.BlockCount));
        AssertClose("o", result.O, NativeSparseCase.ForwardTolerance);
        for (int i = 0; i < Gradients.Length; i++) AssertClose(Gradients[i], result.Gradients[i], NativeSparseCase.BackwardTolerance);

        void AssertClose(string name, float[] actual, double tolerance)
        {
            double[] expected = Samples.Widen(golden.Floats(name));
            TestContext.Current.TestOutputHelper!.WriteLine($"{file} {name}: {ErrorNorm.Relative(actual, expected):E2}");
            ErrorNorm.Require(actual, expected, tolerance);
        }
    }

    /// <summary>The choices in ascending order, −1 last: the files' order is free.</summary>
    internal static int[] Sets(int[] indices, int count) =>
        [.. indices.Chunk(count).SelectMany(choice => choice.OrderBy(block => block < 0 ? int.MaxValue : block))];
}

public sealed class NativeSparseGoldenTests() : NativeSparseGoldenSuite(TestBackend.Cpu)
{
    [Theory]
    [MemberData(nameof(Files))]
    public void The_reference_reaches_the_golden_files(string file)
    {
        using Golden golden = Golden.Open(file);
        NativeSparseCase c = NativeSparseCase.Of(golden, Backend);
        (double[] o, int[] indices) = NativeSparseReference.Forward(c.Doubles(), c.Shape, c.Options);
        Assert.Equal(Sets(golden.Integers("block_indices"), c.Options.BlockCount), indices);
        NativeSparseInputs gradients = NativeSparseReference.Backward(
            c.Doubles(), indices, Samples.Widen(c.OutputGradient), c.Shape, c.Options);
        double[][] actual = [o, gradients.Q, gradients.K, gradients.V, gradients.Alpha!, .. gradients.Gates];
        string[] names = ["o", "dq", "dk", "dv", "dalpha", "dg_cmp", "dg_slc", "dg_win"];
        // What is left is the rounding of the files to float32.
        for (int i = 0; i < names.Length; i++) ErrorNorm.Require(golden.Floats(names[i]), actual[i], 1e-7);
    }
}

public sealed class NativeSparseGoldenCudaTests() : NativeSparseGoldenSuite(TestBackend.CudaFloat32);

public sealed class NativeSparseGoldenCudaBFloat16Tests() : NativeSparseGoldenSuite(TestBackend.CudaBFloat16);

public sealed class NativeSparseGoldenCudaFloat16Tests() : NativeSparseGoldenSuite(TestBackend.CudaFloat16);
