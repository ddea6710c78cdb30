using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>The kernels against the double reference, forward and backward, over the shapes where blocks and tiles end.</summary>
public abstract class GatedWindowGridSuite(TestBackend backend) : TensorTest(backend)
{
    private static readonly int[] Tokens = [1, 2, 15, 63, 64, 65, 111, 1000];
    private static readonly int[] HeadSizes = [8, 16, 40, 64, 96, 128, 256];
    private static readonly (int Heads, int KeyHeads)[] Groups = [(2, 2), (2, 1), (4, 1), (4, 2), (3, 1)];

    /// <summary>Every length with every window; head sizes and groups take turns, the large ones on short texts.</summary>
    public static TheoryData<int, int, int, int, int> Grid
    {
        get
        {
            var grid = new TheoryData<int, int, int, int, int>();
            int turn = 0;
            foreach (int tokens in Tokens)
            {
                foreach (int window in new[] { 1, 2, 16, 63, 64, tokens, tokens + 100 }.Distinct())
                {
                    int headSize = HeadSizes[turn % HeadSizes.Length];
                    long pairs = (long)tokens * Math.Min(tokens, window);
                    if (pairs > 10_000) headSize = Math.Min(headSize, pairs > 100_000 ? 16 : 64);
                    (int heads, int keyHeads) = Groups[turn % Groups.Length];
                    grid.Add(tokens, window, headSize, heads, keyHeads);
                    turn++;
                }
            }

            return grid;
        }
    }

    [Theory]
    [MemberData(nameof(Grid))]
    public void Follows_the_reference(int tokens, int window, int headSize, int heads, int keyHeads) =>
        Random(
            new GatedWindowShape(tokens < 1000 ? 2 : 1, tokens, tokens, heads, keyHeads, headSize),
            new AttentionOptions { Window = window }).FollowsTheReference();

    [Theory]
    [InlineData(8)]
    [InlineData(24)]
    [InlineData(40)]
    [InlineData(56)]
    [InlineData(72)]
    [InlineData(80)]
    [InlineData(120)]
    [InlineData(200)]
    [InlineData(256)]
    public void Follows_the_reference_for_any_head_size(int headSize) =>
        Random(new GatedWindowShape(1, 140, 140, 2, 1, headSize), new AttentionOptions { Window = 70 }).FollowsTheReference();

    [Theory]
    [InlineData(9, 3)]
    [InlineData(12, 4)]
    [InlineData(16, 16)]
    public void Follows_the_reference_for_many_heads(int heads, int keyHeads) =>
        Random(new GatedWindowShape(2, 300, 331, heads, keyHeads, 8), new AttentionOptions { Window = 50 }).FollowsTheReference();

    [Theory]
    [InlineData(1, 130, 16)]
    [InlineData(1, 64, 64)]
    [InlineData(7, 130, 50)]
    [InlineData(64, 65, 1000)]
    [InlineData(65, 200, 64)]
    [InlineData(1200, 1300, 63)]
    public void Follows_the_reference_after_a_cached_prefix(int tokens, int positions, int window) =>
        Random(new GatedWindowShape(2, tokens, positions, 4, 2, 16), new AttentionOptions { Window = window }).FollowsTheReference();

    /// <summary>Windows of whole blocks begin or end inside one, wherever the queries begin; with a gate and (−1) without.</summary>
    [Theory]
    [InlineData(450, 450, 128, 64, 0.1f)]
    [InlineData(450, 450, 128, 64, -1f)]
    [InlineData(600, 600, 256, 72, -1f)]
    [InlineData(200, 333, 128, 16, 0.1f)]
    [InlineData(390, 450, 192, 128, -1f)]
    [InlineData(300, 364, 65, 72, 0.1f)]
    [InlineData(261, 261, 1, 72, 0.1f)]
    public void Follows_the_reference_at_both_ends_of_a_window(int tokens, int positions, int window, int headSize, float decay) =>
        Random(
            new GatedWindowShape(1, tokens, positions, 2, 1, headSize),
            new AttentionOptions { Window = window },
            decay).FollowsTheReference();

    [Theory]
    [InlineData(200, new[] { 0, 1, 3, 66, 66, 130, 200 })]
    [InlineData(200, new[] { 0, 200 })]
    [InlineData(1100, new[] { 0, 100, 520, 600, 1100 })]
    [InlineData(64, new[] { 0, 1, 3, 66, 66, 130, 200 })] // The first documents are all prefix.
    public void Follows_the_reference_where_documents_are_packed(int tokens, int[] cumulativeLengths) =>
        Random(
            new GatedWindowShape(1, tokens, cumulativeLengths[^1], 2, 1, 40),
            new AttentionOptions { Window = 50, Layout = SequenceLayout.Packed(cumulativeLengths) }).FollowsTheReference();

    [Theory]
    [InlineData(150)]
    [InlineData(20)]
    public void Follows_the_reference_where_rows_are_padded_on_the_left(int tokens) =>
        Random(
            new GatedWindowShape(4, tokens, 150, 2, 2, 24),
            new AttentionOptions { Window = 70, Layout = SequenceLayout.LeftPadded([0, 65, 140, 150]) }).FollowsTheReference();

    [Theory]
    [InlineData(2500, 100)] // Several work items, each with a window of gradients kept apart.
    [InlineData(2300, 5000)] // Full causal: everything before is kept apart.
    public void Follows_the_reference_where_work_is_cut(int tokens, int window) =>
        Random(new GatedWindowShape(1, tokens, tokens, 1, 1, 8), new AttentionOptions { Window = window }).FollowsTheReference();

    [Fact]
    public void Follows_the_reference_without_a_gate() =>
        Random(new GatedWindowShape(1, 150, 150, 2, 2, 32), new AttentionOptions { Window = 40 }, decay: -1).FollowsTheReference();

    [Fact]
    public void Follows_the_reference_without_a_window() =>
        Random(new GatedWindowShape(1, 150, 150, 2, 2, 32), new AttentionOptions()).FollowsTheReference();

    [Theory]
    [InlineData(0.02f)]
    [InlineData(-0.3f)]
    [InlineData(0f)]
    public void Follows_the_reference_with_a_given_scale(float scale) =>
        Random(new GatedWindowShape(1, 100, 100, 1, 1, 64), new AttentionOptions { Window = 33, Scale = scale }).FollowsTheReference();

    [Theory]
    [InlineData(2f)]
    [InlineData(40f)]
    [InlineData(1000f)]
    [InlineData(1e6f)]
    public void Follows_the_reference_under_strong_decay(float decay) =>
        Random(new GatedWindowShape(1, 200, 200, 2, 1, 32), new AttentionOptions { Window = 90 }, decay).FollowsTheReference();

    /// <summary>What has been forgotten 400 times over is further off, in units of q k, than float16 reaches.</summary>
    [Theory]
    [InlineData(0.125f)]
    [InlineData(1e-3f)]
    public void Follows_the_reference_behind_many_cuts(float scale)
    {
        AttentionCase c = Random(new GatedWindowShape(1, 600, 600, 2, 1, 64), new AttentionOptions { Scale = scale });
        c.With(alpha: [.. c.Alpha.Select((decay, i) => i < 400 * 2 ? 1e3f : decay)]).FollowsTheReference();
    }

    [Fact]
    public void Follows_the_reference_where_logits_are_large()
    {
        AttentionCase c = Random(new GatedWindowShape(1, 130, 130, 2, 2, 64), new AttentionOptions { Window = 64 });
        // Scores of several hundred keep fewer digits behind the point: docs/precision.md allows for that.
        c.With(q: [.. c.Q.Select(x => x * 6)], k: [.. c.K.Select(x => x * 6)]).FollowsTheReference(5e-6, 4e-5);
    }

    private AttentionCase Random(GatedWindowShape shape, AttentionOptions options, float decay = 0.3f) =>
        AttentionCase.Random(shape, options, decay, backend: Backend);
}

public sealed class GatedWindowGridTests() : GatedWindowGridSuite(TestBackend.Cpu);

public sealed class GatedWindowGridCudaTests() : GatedWindowGridSuite(TestBackend.CudaFloat32);

public sealed class GatedWindowGridCudaBFloat16Tests() : GatedWindowGridSuite(TestBackend.CudaBFloat16);

public sealed class GatedWindowGridCudaFloat16Tests() : GatedWindowGridSuite(TestBackend.CudaFloat16);
