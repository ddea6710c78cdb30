using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>The reference's derivative, the door, and what it refuses.</summary>
public sealed class NativeSparseAttentionTests : TensorTest
{
    private static readonly GatedWindowShape Extents = new(1, 19, 22, 4, 2, 8);
    private static readonly NativeSparseOptions Options = new() { Window = 5, BlockSize = 3, BlockCount = 4 };

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        NativeSparseCase c = NativeSparseCase.Random(Extents, Options);
        NativeSparseInputs inputs = c.Doubles();
        double[] dO = Samples.Widen(c.OutputGradient);
        // The choice stays: no gradient flows through it.
        (_, int[] indices) = NativeSparseReference.Forward(inputs, Extents, Options);
        double Loss() => NativeSparseReference.Forward(inputs, Extents, Options, indices).O.Zip(dO, (o, g) => o * g).Sum();
        NativeSparseInputs gradients = NativeSparseReference.Backward(inputs, indices, dO, Extents, Options);
        foreach ((double[] input, double[] gradient) in new[]
        {
            (inputs.Q, gradients.Q), (inputs.K, gradients.K), (inputs.V, gradients.V), (inputs.Alpha!, gradients.Alpha!),
            (inputs.Compressed, gradients.Compressed), (inputs.Selected, gradients.Selected), (inputs.Window, gradients.Window),
        })
        {
            Assert.InRange(GradientCheck.WorstDeviation(input, Loss, gradient), 0, 1e-8);
        }
    }

    [Fact]
    public void A_zeroed_result_is_far_from_the_reference()
    {
        NativeSparseCase c = NativeSparseCase.Random(Extents, Options);
        (double[] o, _) = NativeSparseReference.Forward(c.Doubles(), Extents, Options);
        Assert.Throws<InvalidOperationException>(() => ErrorNorm.Require(new float[o.Length], o, NativeSparseCase.ForwardTolerance));
    }

    [Fact]
    public void Gradients_add_up_over_uses()
    {
        NativeSparseCase c = NativeSparseCase.Random(Extents, Options);
        float[] once = c.Run().Gradients[1];
        using var k = new Parameter("k", Tensor.From(c.Inputs[1], [1, 22, 2, 8]));
        for (int use = 0; use < 2; use++)
        {
            using var tape = new Tape();
            Tensor o = Apply(tape, c, k.Value);
            tape.Backward(o, tape.Own(Tensor.From(c.OutputGradient, o.Shape)));
        }

        Assert.InRange(ErrorNorm.Relative(k.Gradient.ToArray(), [.. once.Select(x => 2 * x)]), 0, 1e-6);
    }

    [Fact]
    public void An_input_may_be_query_key_and_value_at_a_time()
    {
        var options = new NativeSparseOptions { Window = 40, BlockSize = 16, BlockCount = 4 };
        var shape = new GatedWindowShape(1, 1200, 1200, 2, 2, 8);
        NativeSparseCase c = NativeSparseCase.Random(shape, options);
        c = c.With(inputs: [c.Inputs[0], c.Inputs[0], c.Inputs[0], .. c.Inputs[3..]]);
        float[][] apart = c.Run().Gradients;

        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Tensor.From(c.Inputs[0], [1, 1200, 2, 8])));
        Tensor[] floats = [.. c.Inputs[3..].Select(values => tape.Own(Tensor.From(values, [1, 1200, 2])))];
        Tensor o = NativeSparseAttention.Apply(tape, x, x, x, floats[0], new BranchGates(floats[1], floats[2], floats[3]), options);
        tape.Backward(o, tape.Own(Tensor.From(c.OutputGradient, o.Shape)));
        double[] sum = [.. apart[0].Select((dq, i) => (double)dq + apart[1][i] + apart[2][i])];
        Assert.InRange(ErrorNorm.Relative(tape.Gradient(x)!.ToArray(), sum), 0, 1e-6);
    }

    [Fact]
    public void Nothing_is_recorded_where_nobody_learns()
    {
        NativeSparseCase c = NativeSparseCase.Random(Extents, Options);
        using var tape = new Tape(recording: false);
        using Tensor k = Tensor.From(c.Inputs[1], [1, 22, 2, 8]);
        Assert.Equal(c.Run().O, Apply(tape, c, k).ToArray());
        Assert.Empty(tape.Operations);
    }

    [Theory]
    [InlineData(0, 5, 5)]
    [InlineData(2, 0, 0)]
    [InlineData(1, 0, 5)]
    public void An_empty_text_gives_an_empty_result(int batch, int tokens, int positions)
    {
        NativeSparseResult result = NativeSparseCase.Random(new GatedWindowShape(batch, tokens, positions, 2, 1, 8), Options).Run();
        Assert.Empty(result.O);
        Assert.Empty(result.Indices);
        Assert.All(result.Gradients[1], x => Assert.Equal(0, x));
    }

    [Fact]
    public void The_bits_do_not_depend_on_the_number_of_threads()
    {
        var options = new NativeSparseOptions { Window = 100, BlockSize = 16, BlockCount = 5 };
        NativeSparseCase c = NativeSparseCase.Random(new GatedWindowShape(1, 2500, 2500, 2, 1, 16), options);
        ThreadInvariance.Check(() => c.Run().All);
    }

    [Fact]
    public void Refuses_options_that_make_no_sense()
    {
        void Refused(NativeSparseOptions options, string sentence) => Assert.Equal(
            "Native sparse attention expects " + sentence,
            Assert.Throws<OperandException>(() => NativeSparseCase.Random(Extents, options).Run()).Message);
        Refused(Options with { BlockSize = 0 }, "blocks of at least 1 token, but got 0.");
        Refused(Options with { BlockCount = 0 }, "at least 1 chosen block, but got 0.");
        Refused(Options with { Window = 0 }, "a window of at least 1 key, the query's own, or none, but got 0.");
        Refused(Options with { Scale = float.NaN }, "a finite scale, but got NaN.");
        Refused(Options with { Layout = SequenceLayout.Packed([0, 11]) }, "cu_seqlens that end at 22 positions, but got 11.");
    }

    [Fact]
    public void Any_block_size_and_count_up_to_the_largest_number_is_taken()
    {
        NativeSparseCase c = NativeSparseCase.Random(Extents, Options with { BlockSize = int.MaxValue, BlockCount = int.MaxValue });
        c.FollowsTheReference();
        c.With(options: Options with { BlockSize = 1, BlockCount = int.MaxValue }).FollowsTheReference();
    }

    [Fact]
    public void Refuses_tensors_of_another_shape()
    {
        using var tape = new Tape();
        Tensor Zeros(Shape shape, DType type = DType.F32) => tape.Own(Tensor.Zeros(shape, type));
        Tensor q = Zeros([1, 19, 4, 8]), k = Zeros([1, 22, 2, 8]), v = Zeros([1, 22, 2, 8]), gate = Zeros([1, 19, 4]);
        void Refused(string sentence, Tensor query, Tensor key, BranchGates gates, Tensor? indices = null) => Assert.Equal(
            "Native sparse attention expects " + sentence,
            Assert.Throws<OperandException>(() => NativeSparseAttention.Apply(tape, query, key, v, null, gates, Options, indices)).Message);
        var gates = new BranchGates(gate, gate, gate);
        Refused("q of shape [B, T, H, D], but got [19, 4, 8].", Zeros([19, 4, 8]), k, gates);
        Refused("v of k's shape [1, 22, 4, 8], but got [1, 22, 2, 8].", q, Zeros([1, 22, 4, 8]), gates);
        Refused(
            "branch gates of F32 [B, T, H], [1, 19, 4], but got F32 [1, 22, 4].", q, k, gates with { Selected = Zeros([1, 22, 4]) });
        BranchGates integers = gates with { Window = Zeros([1, 19, 4], DType.I32) };
        Refused("branch gates of F32 [B, T, H], [1, 19, 4], but got I32 [1, 19, 4].", q, k, integers);
        const string indices = "block indices of I32 [B, Hkv, T, n], [1, 2, 19, 4], but got ";
        Refused(indices + "F32 [1, 2, 19, 4].", q, k, gates, Zeros([1, 2, 19, 4]));
        Refused(indices + "I32 [1, 4, 19, 4].", q, k, gates, Zeros([1, 4, 19, 4], DType.I32));
    }

    private static Tensor Apply(Tape tape, NativeSparseCase c, Tensor k)
    {
        Tensor Input(int index, Shape shape) => tape.Own(Tensor.From(c.Inputs[index], shape));
        Tensor q = Input(0, [1, 19, 4, 8]), v = Input(2, [1, 22, 2, 8]), alpha = Input(3, [1, 22, 4]);
        var gates = new BranchGates(Input(4, [1, 19, 4]), Input(5, [1, 19, 4]), Input(6, [1, 19, 4]));
        return NativeSparseAttention.Apply(tape, q, k, v, alpha, gates, Options);
    }
}
