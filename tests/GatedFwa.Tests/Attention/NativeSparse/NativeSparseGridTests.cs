using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>The kernels against the double reference, forward and backward, over the shapes where blocks and tiles end.</summary>
public abstract class NativeSparseGridSuite(TestBackend backend) : TensorTest(backend)
{
    private static readonly int[] Tokens = [1, 2, 15, 64, 65, 190];
    private static readonly int[] BlockSizes = [1, 3, 8, 16, 33, 64, 65, 150];
    private static readonly int[] BlockCounts = [1, 2, 3, 4, 16];
    private static readonly int[] HeadSizes = [8, 16, 40, 64];
    private static readonly (int Heads, int KeyHeads)[] Groups = [(2, 2), (2, 1), (6, 2), (4, 1), (5, 1), (6, 1)];

    /// <summary>Every length with every block size; block counts, head sizes, groups and windows take turns.</summary>
    public static TheoryData<int, int, int, int, int, int> Grid
    {
        get
        {
            var grid = new TheoryData<int, int, int, int, int, int>();
            int turn = 0;
            foreach (int tokens in Tokens)
            {
                foreach (int blockSize in BlockSizes)
                {
                    (int heads, int keyHeads) = Groups[turn % Groups.Length];
                    int blockCount = BlockCounts[turn % BlockCounts.Length], headSize = HeadSizes[turn % HeadSizes.Length];
                    grid.Add(tokens, blockSize, blockCount, headSize, heads, keyHeads);
                    turn++;
                }
            }

            return grid;
        }
    }

    [Theory]
    [MemberData(nameof(Grid))]
    public void Follows_the_reference(int tokens, int blockSize, int blockCount, int headSize, int heads, int keyHeads) => Random(
        new GatedWindowShape(2, tokens, tokens, heads, keyHeads, headSize),
        new NativeSparseOptions { Window = 20, BlockSize = blockSize, BlockCount = blockCount }).FollowsTheReference();

    [Theory]
    [InlineData(24)]
    [InlineData(72)]
    [InlineData(128)]
    [InlineData(256)]
    public void Follows_the_reference_for_any_head_size(int headSize) => Random(
        new GatedWindowShape(1, 100, 100, 2, 1, headSize),
        new NativeSparseOptions { Window = 30, BlockSize = 16, BlockCount = 4 }).FollowsTheReference();

    [Theory]
    [InlineData(1, 130, 16)]
    [InlineData(7, 130, 50)]
    [InlineData(64, 65, 8)]
    [InlineData(65, 200, 64)]
    public void Follows_the_reference_after_a_cached_prefix(int tokens, int positions, int blockSize) => Random(
        new GatedWindowShape(2, tokens, positions, 4, 2, 16),
        new NativeSparseOptions { Window = 33, BlockSize = blockSize, BlockCount = 4 }).FollowsTheReference();

    [Theory]
    [InlineData(200, new[] { 0, 1, 3, 66, 66, 130, 200 })]
    [InlineData(200, new[] { 0, 200 })]
    [InlineData(64, new[] { 0, 1, 3, 66, 66, 130, 200 })] // The first documents are all prefix.
    public void Follows_the_reference_where_documents_are_packed(int tokens, int[] cumulativeLengths) => Random(
        new GatedWindowShape(1, tokens, cumulativeLengths[^1], 3, 1, 40),
        new NativeSparseOptions { Window = 50, BlockSize = 8, BlockCount = 5, Layout = SequenceLayout.Packed(cumulativeLengths) })
        .FollowsTheReference();

    [Theory]
    [InlineData(150)]
    [InlineData(20)]
    public void Follows_the_reference_where_rows_are_padded_on_the_left(int tokens) => Random(
        new GatedWindowShape(4, tokens, 150, 2, 2, 24),
        new NativeSparseOptions { Window = 70, BlockSize = 16, BlockCount = 4, Layout = SequenceLayout.LeftPadded([0, 65, 140, 150]) })
        .FollowsTheReference();

    [Theory] // As in a model: whole blocks of 64, heads of 64, each with keys of its own, more blocks than are chosen.
    [InlineData(2, 520, 2, 4)]
    [InlineData(1, 1024, 1, 8)]
    public void Follows_the_reference_where_every_head_has_keys_of_its_own(int batch, int tokens, int heads, int blockCount) => Random(
        new GatedWindowShape(batch, tokens, tokens, heads, heads, 64),
        new NativeSparseOptions { Window = 256, BlockSize = 64, BlockCount = blockCount }).FollowsTheReference();

    [Theory]
    [InlineData(1400, 4, 5)] // Several ranges, and more than a tile of pooled keys.
    [InlineData(1100, 64, 16)]
    [InlineData(2200, 64, 3)] // On a GPU the list of those that chose the first block, too.
    public void Follows_the_reference_where_work_is_cut(int tokens, int blockSize, int blockCount) => Random(
        new GatedWindowShape(1, tokens, tokens, 2, 1, 8),
        new NativeSparseOptions { Window = 100, BlockSize = blockSize, BlockCount = blockCount }).FollowsTheReference();

    [Fact]
    public void Follows_the_reference_at_the_end_of_a_long_text()
    {
        const int tokens = 20_000, last = 40;
        var shape = new GatedWindowShape(1, tokens, tokens, 2, 1, 8);
        NativeSparseCase c = Random(shape, new NativeSparseOptions { Window = 64, BlockSize = 16, BlockCount = 6 });
        NativeSparseResult result = c.Run();

        // The same of the last queries alone, which the reference can afford.
        int queries = last * shape.Heads, row = shape.HeadSize;
        NativeSparseCase end = c.With(
            [c.Inputs[0][^(queries * row)..], .. c.Inputs[1..4], .. c.Inputs[4..].Select(gate => gate[^queries..])],
            shape: shape with { Tokens = last });
        (double[] o, _) = NativeSparseReference.Forward(end.Doubles(), end.Shape, end.Options, result.Indices[^(last * 6)..]);
        ErrorNorm.Require(result.O[^(queries * row)..], o, Backend.Forward(NativeSparseCase.ForwardTolerance));
    }

    [Fact]
    public void Follows_the_reference_without_a_gate_and_a_window() =>
        NativeSparseCase.Random(
            new GatedWindowShape(1, 150, 150, 2, 2, 32),
            new NativeSparseOptions { BlockSize = 16, BlockCount = 3 },
            gated: false,
            backend: Backend).FollowsTheReference();

    [Theory]
    [InlineData(0.02f)]
    [InlineData(-0.3f)]
    [InlineData(0f)]
    public void Follows_the_reference_with_a_given_scale(float scale) => Random(
        new GatedWindowShape(1, 100, 100, 2, 1, 64),
        new NativeSparseOptions { Window = 33, BlockSize = 8, BlockCount = 6, Scale = scale }).FollowsTheReference();

    [Fact]
    public void Follows_the_reference_where_logits_are_large()
    {
        NativeSparseCase c = Random(
            new GatedWindowShape(1, 130, 130, 2, 1, 64), new NativeSparseOptions { Window = 64, BlockSize = 8, BlockCount = 6 });
        float[] Times6(float[] values) => [.. values.Select(x => x * 6)];
        // Scores of several hundred keep fewer digits behind the point: docs/precision.md allows for that.
        c.With([Times6(c.Inputs[0]), Times6(c.Inputs[1]), .. c.Inputs[2..]]).FollowsTheReference(5e-6, 4e-5);
    }

    private NativeSparseCase Random(GatedWindowShape shape, NativeSparseOptions options) =>
        NativeSparseCase.Random(shape, options, backend: Backend);
}

public sealed class NativeSparseGridTests() : NativeSparseGridSuite(TestBackend.Cpu);

public sealed class NativeSparseGridCudaTests() : NativeSparseGridSuite(TestBackend.CudaFloat32);

public sealed class NativeSparseGridCudaBFloat16Tests() : NativeSparseGridSuite(TestBackend.CudaBFloat16);
