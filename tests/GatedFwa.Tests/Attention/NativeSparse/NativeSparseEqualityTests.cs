using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>What must be equal whatever the numbers are.</summary>
public abstract class NativeSparseEqualitySuite(TestBackend backend) : TensorTest(backend)
{
    private static readonly GatedWindowShape Extents = new(1, 200, 200, 4, 2, 16);
    private static readonly NativeSparseOptions Options = new() { Window = 30, BlockSize = 8, BlockCount = 5 };

    [Fact]
    public void Chosen_blocks_that_are_all_there_are_make_full_attention()
    {
        NativeSparseResult sparse = Random(Options with { BlockCount = 25 }).WithGates(0, 1, 0).Run();
        NativeSparseResult full = Random(Options with { Window = null }, gated: false).WithGates(0, 0, 1).Run();
        Same(full.O, sparse.O, Backend.Forward(NativeSparseCase.ForwardTolerance));
        for (int i = 0; i < 3; i++) Same(full.Gradients[i], sparse.Gradients[i], Backend.Gradient(NativeSparseCase.BackwardTolerance));
    }

    [Fact]
    public void A_chosen_block_alone_is_attention_within_it()
    {
        NativeSparseResult own = Random(Options with { BlockSize = 50, BlockCount = 1 }).WithGates(0, 1, 0).Run();
        var blocks = SequenceLayout.Packed([0, 50, 100, 150, 200]);
        NativeSparseResult documents = Random(Options with { Window = null, Layout = blocks }, gated: false).WithGates(0, 0, 1).Run();
        Same(documents.O, own.O, Backend.Forward(NativeSparseCase.ForwardTolerance));
    }

    [Fact]
    public void Blocks_of_one_token_compress_nothing()
    {
        NativeSparseResult compressed = Random(Options with { BlockSize = 1 }).WithGates(1, 0, 0).Run();
        NativeSparseResult full = Random(Options with { Window = null }, gated: false).WithGates(0, 0, 1).Run();
        Same(full.O, compressed.O, Backend.Forward(NativeSparseCase.ForwardTolerance));
        for (int i = 0; i < 3; i++) Same(full.Gradients[i], compressed.Gradients[i], Backend.Gradient(NativeSparseCase.BackwardTolerance));
    }

    [Fact]
    public void The_window_branch_is_gated_window_attention()
    {
        NativeSparseCase c = Random(Options).WithGates(0, 0, 1);
        var window = new AttentionCase
        {
            Backend = Backend,
            Shape = Extents,
            Options = new AttentionOptions { Window = Options.Window },
            Q = c.Inputs[0],
            K = c.Inputs[1],
            V = c.Inputs[2],
            Alpha = c.Inputs[3],
            OutputGradient = c.OutputGradient,
        };
        AttentionResult expected = window.Run();
        NativeSparseResult actual = c.Run();
        Assert.Equal(expected.O, actual.O);
        Assert.Equal(expected.Dalpha, actual.Gradients[3]);
    }

    [Fact]
    public void Documents_do_not_see_each_other()
    {
        NativeSparseCase c = Random(Options with { Layout = SequenceLayout.Packed([0, 70, 200]) });
        float[] o = c.Run().O;
        int row = Extents.Heads * Extents.HeadSize, keyRow = Extents.KeyHeads * Extents.HeadSize;
        var alone = NativeSparseCase.Random(Extents with { Tokens = 130, Positions = 130 }, Options, backend: Backend);
        NativeSparseResult second = alone.With(inputs:
        [
            c.Inputs[0][(70 * row)..], c.Inputs[1][(70 * keyRow)..], c.Inputs[2][(70 * keyRow)..], c.Inputs[3][(70 * Extents.Heads)..],
            .. c.Inputs[4..].Select(gate => gate[(70 * Extents.Heads)..]),
        ]).Run();
        Same(second.O, o[(70 * row)..], Backend.Forward(NativeSparseCase.ForwardTolerance));
    }

    [Fact]
    public void The_future_does_not_matter()
    {
        NativeSparseCase c = Random(Options);
        NativeSparseResult whole = c.Run();
        int changed = 133, row = Extents.Heads * Extents.HeadSize, keyRow = Extents.KeyHeads * Extents.HeadSize;
        float[] Changed(float[] values, int from) => [.. values[..from], .. values[from..].Select(x => x + 3)];
        NativeSparseResult other = c.With(inputs:
        [
            c.Inputs[0],
            Changed(c.Inputs[1], changed * keyRow),
            Changed(c.Inputs[2], changed * keyRow),
            Changed(c.Inputs[3], changed * Extents.Heads),
            .. c.Inputs[4..],
        ]).Run();
        Assert.Equal(whole.O[..(changed * row)], other.O[..(changed * row)]);
        Assert.NotEqual(whole.O[(changed * row)..], other.O[(changed * row)..]);
    }

    [Fact]
    public void The_last_queries_after_a_prefix_are_those_of_the_whole_text()
    {
        NativeSparseCase c = Random(Options);
        int first = 150, row = Extents.Heads * Extents.HeadSize;
        NativeSparseCase last = NativeSparseCase.Random(Extents with { Tokens = 50 }, Options, backend: Backend).With(inputs:
            [c.Inputs[0][(first * row)..], .. c.Inputs[1..4], .. c.Inputs[4..].Select(gate => gate[(first * Extents.Heads)..])]);
        Same(c.Run().O[(first * row)..], last.Run().O, Backend.Forward(NativeSparseCase.ForwardTolerance));
    }

    private static void Same(float[] expected, float[] actual, double tolerance) =>
        ErrorNorm.Require(actual, Samples.Widen(expected), 2 * tolerance); // Two computations, each with its rounding.

    private NativeSparseCase Random(NativeSparseOptions options, bool gated = true) =>
        NativeSparseCase.Random(Extents, options, gated, backend: Backend);
}

public sealed class NativeSparseEqualityTests() : NativeSparseEqualitySuite(TestBackend.Cpu);

public sealed class NativeSparseEqualityCudaTests() : NativeSparseEqualitySuite(TestBackend.CudaFloat32);

public sealed class NativeSparseEqualityCudaBFloat16Tests() : NativeSparseEqualitySuite(TestBackend.CudaBFloat16);
