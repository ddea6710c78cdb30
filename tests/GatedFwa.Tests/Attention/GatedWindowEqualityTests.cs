using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>What must be equal without any reference.</summary>
public abstract class GatedWindowEqualitySuite(TestBackend backend) : TensorTest(backend)
{
    private static readonly GatedWindowShape Shape = new(1, 300, 300, 2, 1, 32);
    private static readonly AttentionOptions Options = new() { Window = 50 };

    [Fact]
    public void A_gate_that_forgets_nothing_is_no_gate()
    {
        AttentionCase gated = Random(Shape, Options, decay: 0);
        AttentionResult with = gated.Run(), without = gated.With(alpha: []).Run();
        AssertSameBits(without.O, with.O);
        AssertSameBits(without.Lse, with.Lse);
        AssertSameBits(without.Dq, with.Dq);
        AssertSameBits(without.Dk, with.Dk);
        AssertSameBits(without.Dv, with.Dv);
    }

    [Theory]
    [InlineData(300)]
    [InlineData(301)]
    [InlineData(int.MaxValue)]
    public void A_window_over_everything_is_no_window(int window)
    {
        AttentionCase all = Random(Shape, new AttentionOptions());
        AssertSameBits(all.Run().All, all.With(options: new AttentionOptions { Window = window }).Run().All);
    }

    [Fact]
    public void A_window_one_short_of_everything_is_a_window()
    {
        AttentionCase all = Random(Shape, new AttentionOptions(), decay: -1);
        Assert.NotEqual(all.Run().O, all.With(options: new AttentionOptions { Window = 299 }).Run().O);
    }

    [Fact]
    public void What_a_text_forgets_before_its_first_token_changes_nothing()
    {
        AttentionCase c = Random(Shape, Options);
        float[] alpha = [.. c.Alpha];
        alpha[0] = alpha[1] = 1e5f; // Of both heads: a constant added to the whole prefix.
        AttentionResult expected = c.Run(), actual = c.With(alpha: alpha).Run();
        Assert.InRange(ErrorNorm.Relative(actual.All, expected.All), 0, Backend.Forward(1e-7));
        Assert.Equal([0f, 0f], actual.Dalpha[..2]);
    }

    [Fact]
    public void A_strong_decay_out_of_the_windows_reach_changes_nothing()
    {
        AttentionCase c = Random(Shape, Options);
        float[] alpha = [.. c.Alpha];
        int heads = Shape.Heads, at = 100, firstFree = at + 49;
        for (int head = 0; head < heads; head++) alpha[(at * heads) + head] = 1e4f;
        AttentionResult expected = c.Run(), actual = c.With(alpha: alpha).Run();
        int row = heads * Shape.HeadSize;
        Assert.InRange(ErrorNorm.Relative(actual.O[(firstFree * row)..], expected.O[(firstFree * row)..]), 0, Backend.Forward(1e-7));
        Assert.InRange(ErrorNorm.Relative(actual.O[..(at * row)], expected.O[..(at * row)]), 0, Backend.Forward(1e-7));
        Assert.True(ErrorNorm.Relative(actual.O, expected.O) > 0.01, "Between the two it must change something.");
    }

    [Theory]
    [InlineData(100, AttentionCase.ForwardTolerance)]
    [InlineData(1e9f, 2e-4)] // Right behind it a bias is a difference of two floats of up to 1.4e4, whose spacing is 1e-3.
    [InlineData(float.PositiveInfinity, 2e-4)]
    public void A_decay_that_cuts_the_past_off_leaves_what_follows(float cut, double tolerance)
    {
        AttentionCase c = Random(Shape, Options);
        c.With(alpha: [.. c.Alpha.Select((alpha, i) => i % 23 == 7 ? cut : alpha)]).FollowsTheReference(tolerance, tolerance);
    }

    [Fact]
    public void A_query_that_weighs_a_long_text_evenly_is_as_exact_as_any()
    {
        AttentionCase c = Random(new GatedWindowShape(1, 7, 100_000, 1, 1, 8), new AttentionOptions(), decay: -1);
        c.With(q: [.. c.Q.Select(x => x * 0.1f)]).FollowsTheReference();
    }

    [Fact]
    public void Query_heads_of_a_group_read_the_same_keys()
    {
        var grouped = new GatedWindowShape(1, 130, 130, 6, 2, 16);
        AttentionCase c = Random(grouped, Options);
        float[] Repeat(float[] values) => [.. values.Chunk(16).SelectMany(head => Enumerable.Repeat(head, 3)).SelectMany(head => head)];
        AttentionCase spread = c.With(k: Repeat(c.K), v: Repeat(c.V), shape: grouped with { KeyHeads = 6 });
        AssertSameBits(c.Run().O, spread.Run().O);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(37)]
    [InlineData(64)]
    public void A_text_in_pieces_is_the_text_in_one(int piece)
    {
        AttentionCase whole = Random(Shape, Options);
        float[] expected = whole.Run().O, actual = new float[expected.Length];
        int row = Shape.Heads * Shape.HeadSize;
        for (int start = 0; start < Shape.Tokens; start += piece)
        {
            int end = Math.Min(start + piece, Shape.Tokens);
            whole.Part(start, 0, end).Run().O.CopyTo(actual.AsSpan(start * row));
        }

        Assert.InRange(ErrorNorm.Relative(actual, expected), 0, Backend.Forward(5e-7));
    }

    [Fact]
    public void Packed_documents_are_the_documents_alone()
    {
        AttentionCase c = Random(Shape, Options with { Layout = SequenceLayout.Packed([0, 130, 300]) });
        AttentionResult packed = c.Run();
        const int start = 130;
        int row = Shape.Heads * Shape.HeadSize;
        float[] alone = c.Part(start, start, Shape.Tokens).With(options: Options).Run().O;
        // In 16 bits a GPU may serve dense rows and packed documents with different kernels.
        if (Backend.Activations == DType.F32) AssertSameBits(alone, packed.O[(start * row)..]);
        else ErrorNorm.Require(packed.O.AsSpan(start * row), Samples.Widen(alone), Backend.Forward(AttentionCase.ForwardTolerance));
    }

    [Fact]
    public void Two_runs_give_the_same_bits()
    {
        AttentionCase c = Random(new GatedWindowShape(2, 500, 500, 4, 2, 24), Options);
        AssertSameBits(c.Run().All, c.Run().All);
    }

    [Fact]
    public void NaN_stays_in_its_document()
    {
        AttentionCase clean = Random(Shape, Options with { Layout = SequenceLayout.Packed([0, 110, 190, 300]) });
        float[] Poisoned(float[] values)
        {
            int row = values.Length / 300;
            float[] copy = [.. values];
            copy.AsSpan(110 * row, 80 * row).Fill(float.NaN);
            return copy;
        }

        AttentionCase poisoned = clean.With(Poisoned(clean.Q), Poisoned(clean.K), Poisoned(clean.V), Poisoned(clean.Alpha));
        AttentionResult expected = clean.Run(), actual = poisoned.Run();
        foreach ((float[] want, float[] got) in new[] { (expected.O, actual.O), (expected.Dq, actual.Dq), (expected.Dk, actual.Dk), (expected.Dv, actual.Dv), (expected.Dalpha, actual.Dalpha) })
        {
            int row = want.Length / 300;
            AssertSameBits(want[..(110 * row)], got[..(110 * row)]);
            AssertSameBits(want[(190 * row)..], got[(190 * row)..]);
        }

        int width = actual.O.Length / 300;
        Assert.All(actual.O[(110 * width)..(190 * width)], x => Assert.True(float.IsNaN(x), "A NaN that vanishes hides a broken model."));
    }

    [Fact]
    public void A_query_that_sees_nothing_gives_nothing_and_learns_nothing()
    {
        AttentionCase c = Random(
            new GatedWindowShape(2, 100, 100, 2, 1, 16), new AttentionOptions { Window = 30, Layout = SequenceLayout.LeftPadded([0, 70]) });
        AttentionResult result = c.Run();
        int padded = 70 * 2 * 16, second = 100 * 2 * 16;
        Assert.All(result.O[second..(second + padded)], x => Assert.Equal(0, x));
        Assert.All(result.Dq[second..(second + padded)], x => Assert.Equal(0, x));
        for (int head = 0; head < 2; head++)
            Assert.All(result.Lse[(200 + (head * 100))..(270 + (head * 100))], x => Assert.Equal(float.NegativeInfinity, x));
        Assert.True(float.IsFinite(result.Lse[270]));
        int keys = 100 * 16;
        Assert.All(result.Dk[keys..(keys + (70 * 16))], x => Assert.Equal(0, x));
        Assert.All(result.Dv[keys..(keys + (70 * 16))], x => Assert.Equal(0, x));
    }

    private static void AssertSameBits(float[] expected, float[] actual) =>
        Assert.True(MemoryMarshal.Cast<float, uint>(expected).SequenceEqual(MemoryMarshal.Cast<float, uint>(actual)), "Some bits differ.");

    private AttentionCase Random(GatedWindowShape shape, AttentionOptions options, float decay = 0.3f) =>
        AttentionCase.Random(shape, options, decay, backend: Backend);
}

public sealed class GatedWindowEqualityTests() : GatedWindowEqualitySuite(TestBackend.Cpu)
{
    [Theory]
    [InlineData(100)]
    [InlineData(3000)]
    public void Any_number_of_threads_gives_the_same_bits(int window)
    {
        // Long enough to be cut in both directions.
        AttentionCase c = AttentionCase.Random(new GatedWindowShape(1, 2500, 2500, 2, 1, 8), new AttentionOptions { Window = window });
        ThreadInvariance.Check(() => c.Run().All);
    }
}

public sealed class GatedWindowEqualityCudaTests() : GatedWindowEqualitySuite(TestBackend.CudaFloat32);

public sealed class GatedWindowEqualityCudaBFloat16Tests() : GatedWindowEqualitySuite(TestBackend.CudaBFloat16);
