using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>The reference's derivative, the two doors, and what they refuse.</summary>
public sealed class GatedWindowAttentionTests : TensorTest
{
    private static readonly GatedWindowShape Extents = new(1, 9, 12, 4, 2, 8);
    private static readonly AttentionOptions Options = new() { Window = 5 };

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        AttentionCase c = AttentionCase.Random(Extents, Options);
        double[] q = Samples.Widen(c.Q), k = Samples.Widen(c.K), v = Samples.Widen(c.V), alpha = Samples.Widen(c.Alpha), dO = Samples.Widen(c.OutputGradient);
        double Loss() => GatedWindowReference.Forward(q, k, v, alpha, Extents, Options).O.Zip(dO, (o, g) => o * g).Sum();
        (double[] dq, double[] dk, double[] dv, double[] dalpha) = GatedWindowReference.Backward(q, k, v, alpha, dO, Extents, Options);
        Assert.InRange(GradientCheck.WorstDeviation(q, Loss, dq), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(k, Loss, dk), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(v, Loss, dv), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(alpha, Loss, dalpha), 0, 1e-8);
    }

    [Fact]
    public void A_zeroed_result_is_far_from_the_reference()
    {
        AttentionCase c = AttentionCase.Random(Extents, Options);
        (double[] o, _) = GatedWindowReference.Forward(Samples.Widen(c.Q), Samples.Widen(c.K), Samples.Widen(c.V), Samples.Widen(c.Alpha), Extents, Options);
        Assert.Throws<InvalidOperationException>(() => ErrorNorm.Require(new float[o.Length], o, AttentionCase.ForwardTolerance));
    }

    [Fact]
    public void Both_doors_give_the_same_bits()
    {
        AttentionCase c = AttentionCase.Random(Extents, Options);
        AttentionResult expected = c.Run();
        using var tape = new Tape();
        Tensor q = Input(tape, c.Q, [1, 9, 4, 8]), k = Input(tape, c.K, [1, 12, 2, 8]), v = Input(tape, c.V, [1, 12, 2, 8]), alpha = Input(tape, c.Alpha, [1, 12, 4]);
        Tensor lse = tape.Allocate([1, 4, 9]);
        Tensor o = GatedWindowAttention.Apply(tape, q, k, v, alpha, Options, lse);
        Assert.Equal(expected.O, o.ToArray());
        Assert.Equal(expected.Lse, lse.ToArray());
        lse.Clear(); // The caller's copy is the caller's.
        tape.Backward(o, tape.Own(Tensor.From(c.OutputGradient, o.Shape)));
        Assert.Equal(expected.Dq, tape.Gradient(q)!.ToArray());
        Assert.Equal(expected.Dk, tape.Gradient(k)!.ToArray());
        Assert.Equal(expected.Dv, tape.Gradient(v)!.ToArray());
        Assert.Equal(expected.Dalpha, tape.Gradient(alpha)!.ToArray());
    }

    [Fact]
    public void Gradients_add_up_over_uses()
    {
        AttentionCase c = AttentionCase.Random(Extents, Options);
        AttentionResult once = c.Run();
        using var k = new Parameter("k", Tensor.From(c.K, [1, 12, 2, 8]));
        for (int use = 0; use < 2; use++)
        {
            using var tape = new Tape();
            Tensor q = tape.Own(Tensor.From(c.Q, [1, 9, 4, 8])), v = tape.Own(Tensor.From(c.V, [1, 12, 2, 8])), alpha = tape.Own(Tensor.From(c.Alpha, [1, 12, 4]));
            Tensor o = GatedWindowAttention.Apply(tape, q, k, v, alpha, Options);
            tape.Backward(o, tape.Own(Tensor.From(c.OutputGradient, o.Shape)));
            Assert.Null(tape.Gradient(q));
        }

        Assert.Equal([.. once.Dk.Select(x => 2 * x)], k.Gradient.ToArray());
    }

    [Fact]
    public void Nothing_is_recorded_where_nobody_learns()
    {
        AttentionCase c = AttentionCase.Random(Extents, Options);
        using var tape = new Tape(recording: false);
        Tensor lse = tape.Allocate([1, 4, 9]);
        Tensor o = GatedWindowAttention.Apply(
            tape, Input(tape, c.Q, [1, 9, 4, 8]), Input(tape, c.K, [1, 12, 2, 8]), Input(tape, c.V, [1, 12, 2, 8]), Input(tape, c.Alpha, [1, 12, 4]), Options, lse);
        Assert.Empty(tape.Operations);
        AttentionResult expected = c.Run();
        Assert.Equal(expected.O, o.ToArray());
        Assert.Equal(expected.Lse, lse.ToArray());
    }

    [Theory]
    [InlineData(0, 5, 5)]
    [InlineData(2, 0, 0)]
    [InlineData(1, 0, 5)]
    public void An_empty_text_gives_an_empty_result(int batch, int tokens, int positions)
    {
        AttentionResult result = AttentionCase.Random(new GatedWindowShape(batch, tokens, positions, 2, 1, 8), new AttentionOptions { Window = 3 }).Run();
        Assert.Empty(result.O);
        Assert.All(result.Dk, x => Assert.Equal(0, x));
    }

    [Theory]
    [InlineData(9, 8, 2, 1, 8, "at least as many key positions as the 9 queries, but got 8.")]
    [InlineData(4, 4, 3, 2, 8, "query heads that are a multiple of the key heads, but got 3 query heads and 2 key heads.")]
    [InlineData(4, 4, 2, 0, 8, "query heads that are a multiple of the key heads, but got 2 query heads and 0 key heads.")]
    [InlineData(4, 4, 2, 1, 12, "a head size that is a multiple of 8 from 8 to 256, but got 12.")]
    [InlineData(4, 4, 2, 1, 0, "a head size that is a multiple of 8 from 8 to 256, but got 0.")]
    [InlineData(4, 4, 2, 1, 264, "a head size that is a multiple of 8 from 8 to 256, but got 264.")]
    public void Refuses_extents_that_do_not_fit(int tokens, int positions, int heads, int keyHeads, int headSize, string sentence)
    {
        var shape = new GatedWindowShape(1, tokens, positions, heads, keyHeads, headSize);
        OperandException e = Assert.Throws<OperandException>(() => GatedWindowAttention.Forward([], [], [], [], [], [], shape, Options));
        Assert.Equal("Gated window attention expects " + sentence, e.Message);
    }

    [Fact]
    public void Refuses_options_that_make_no_sense()
    {
        Assert.Equal(
            "Gated window attention expects a window of at least 1 key, the query's own, or none, but got 0.",
            Assert.Throws<OperandException>(() => AttentionCase.Random(Extents, new AttentionOptions { Window = 0 }).Run()).Message);
        Assert.Throws<OperandException>(() => AttentionCase.Random(Extents, new AttentionOptions { Scale = float.NaN }).Run());
        Assert.Throws<OperandException>(
            () => AttentionCase.Random(Extents, new AttentionOptions { Layout = SequenceLayout.Packed([0, 11]) }).Run());
    }

    [Fact]
    public void Refuses_arrays_of_another_length()
    {
        AttentionCase c = AttentionCase.Random(Extents, Options);
        Assert.Equal(
            "Gated window attention expects k of 192 elements, but got 191.",
            Assert.Throws<OperandException>(() => c.With(k: c.K[1..]).Run()).Message);
        Assert.Equal(
            "Gated window attention expects alpha of 48 elements or empty, but got 47.",
            Assert.Throws<OperandException>(() => c.With(alpha: c.Alpha[1..]).Run()).Message);
        Assert.Throws<OperandException>(() => GatedWindowAttention.Forward(c.Q, c.K, c.V, [], new float[1], [], Extents, Options));
        Assert.Throws<OperandException>(
            () => GatedWindowAttention.Forward(c.Q, c.K, c.V, [], new float[288], new float[1], Extents, Options));
        var result = new AttentionResult(Extents, hasGate: true);
        Assert.Throws<OperandException>(() => GatedWindowAttention.Backward(c.Q, c.K, c.V, [], result.O, result.Lse, c.OutputGradient, result.Dq, result.Dk, result.Dv, result.Dalpha, Extents, Options));
    }

    [Fact]
    public void Refuses_tensors_of_another_shape()
    {
        using var tape = new Tape();
        Tensor Zeros(Shape shape) => tape.Own(Tensor.Zeros(shape));
        Tensor q = Zeros([1, 9, 4, 8]), k = Zeros([1, 12, 2, 8]), v = Zeros([1, 12, 2, 8]);
        void Refused(string sentence, Tensor query, Tensor key, Tensor value, Tensor? alpha = null, Tensor? lse = null) => Assert.Equal(
            "Gated window attention expects " + sentence, Assert.Throws<OperandException>(() => GatedWindowAttention.Apply(tape, query, key, value, alpha, Options, lse)).Message);
        Refused("q of shape [B, T, H, D], but got [9, 4, 8].", Zeros([9, 4, 8]), k, v);
        Refused("k of shape [1, S, Hkv, 8], but got [1, 12, 2, 16].", q, Zeros([1, 12, 2, 16]), v);
        Refused("v of k's shape [1, 12, 2, 8], but got [1, 12, 4, 8].", q, k, Zeros([1, 12, 4, 8]));
        Refused("alpha of shape [B, S, H], [1, 12, 4], but got [1, 9, 4].", q, k, v, Zeros([1, 9, 4]));
        Refused("lse of shape [B, H, T], [1, 4, 9], but got [1, 9, 4].", q, k, v, null, Zeros([1, 9, 4]));
        Refused("k in F32, but got I32.", q, tape.Own(Tensor.Zeros([1, 12, 2, 8], DType.I32)), v);
    }

    private static Tensor Input(Tape tape, float[] values, Shape shape) => tape.Watch(tape.Own(Tensor.From(values, shape)));
}
