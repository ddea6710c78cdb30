using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

public sealed class DecayGateTests : TensorTest
{
    private const float Epsilon = 1e-3f;

    [Fact]
    public void Agrees_with_the_golden_file()
    {
        using Golden golden = Golden.Open("gate_basic");
        Shape shape = golden.Shape("x");
        using var prefix = new TwoLevelPrefix(SequenceLayout.Dense, shape[0], shape[1], golden.Shape("alpha")[2]);
        Differentiated result = Differentiated.Run(
            golden.Floats("dalpha"),
            (tape, inputs) => DecayGate.Apply(tape, inputs[0], inputs[1], inputs[2], inputs[3], golden.Epsilon, prefix),
            [.. new[] { "x", "gate_weight", "gate_bias", "amplitude_weight" }.Select(name => (golden.Floats(name), golden.Shape(name)))]);
        // docs/precision.md: a plain float32 evaluation reaches half of these.
        ErrorNorm.Require(result.Y, Samples.Widen(golden.Floats("alpha")), 5e-6);
        ErrorNorm.Require(prefix.ToDecay(), Samples.Widen(golden.Floats("u")), 5e-6);
        ErrorNorm.Require(result.Gradients[0], Samples.Widen(golden.Floats("dx")), 2e-5);
        ErrorNorm.Require(result.Gradients[1], Samples.Widen(golden.Floats("dgate_weight")), 2e-5);
        ErrorNorm.Require(result.Gradients[2], Samples.Widen(golden.Floats("dgate_bias")), 2e-5);
        ErrorNorm.Require(result.Gradients[3], Samples.Widen(golden.Floats("damplitude_weight")), 2e-5);
    }

    [Theory]
    [InlineData(1, 1, 1, 1, 1f)]
    [InlineData(2, 65, 3, 7, 1f)]
    [InlineData(1, 300, 17, 40, 1f)]
    [InlineData(3, 111, 6, 96, 1f)]
    [InlineData(1, 200, 4, 16, 20f)] // β near 0 and large, α up to 700
    public void Follows_the_reference_in_both_directions(int batch, int tokens, int heads, int width, float scale)
    {
        Case c = Case.Of(batch, tokens, heads, width, scale);
        Differentiated result = c.Run();
        (double[] dx, double[] dgateWeight, double[] dgateBias, double[] damplitudeWeight) = c.Reference.Backward(Samples.Widen(c.Dalpha));
        ErrorNorm.Require(result.Y, c.Reference.Forward(), 5e-6);
        ErrorNorm.Require(result.Gradients[0], dx, 2e-5);
        ErrorNorm.Require(result.Gradients[1], dgateWeight, 2e-5);
        ErrorNorm.Require(result.Gradients[2], dgateBias, 2e-5);
        ErrorNorm.Require(result.Gradients[3], damplitudeWeight, 2e-5);
    }

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        Case c = Case.Of(1, 5, 2, 3, 1.5f);
        DecayGateReference gate = c.Reference;
        double[] dalpha = Samples.Widen(c.Dalpha);
        double Loss() => gate.Forward().Zip(dalpha, (alpha, g) => alpha * g).Sum();
        (double[] dx, double[] dgateWeight, double[] dgateBias, double[] damplitudeWeight) = gate.Backward(dalpha);
        Assert.InRange(GradientCheck.WorstDeviation(gate.X, Loss, dx), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(gate.GateWeight, Loss, dgateWeight), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(gate.GateBias, Loss, dgateBias), 0, 1e-7);
        Assert.InRange(GradientCheck.WorstDeviation(gate.AmplitudeWeight, Loss, damplitudeWeight), 0, 1e-7);
    }

    [Fact]
    public void Gives_the_same_bits_for_any_number_of_threads()
    {
        Case c = Case.Of(2, 777, 5, 48, 1);
        ThreadInvariance.Check(() => c.Run());
    }

    [Fact]
    public void Never_forgets_less_than_nothing()
    {
        Case c = Case.Of(1, 500, 3, 8, 30);
        Assert.All(c.Run().Y, alpha => Assert.True(alpha >= 0));
    }

    [Fact]
    public void A_new_gate_forgets_as_much_as_its_bias_says()
    {
        using var tape = new Tape(recording: false);
        Tensor x = tape.Own(Tensor.From(Samples.Normal(4 * 8, 1), [1, 4, 8])), zero = tape.Own(Tensor.Zeros([2, 8])), bias = tape.Own(Tensor.From([2f, 2f], [2]));
        // softplus(−2) / 1.001: docs/operator.md, "The gate".
        Assert.All(DecayGate.Apply(tape, x, zero, bias, zero).ToArray(), alpha => Assert.Equal(0.12680124f, alpha, 1e-6f));
    }

    [Theory]
    [InlineData(1000, "dense")]
    [InlineData(333, "packed")]
    [InlineData(200, "padded")]
    public unsafe void The_prefix_sums_add_up_inside_each_sequence(int tokens, string kind)
    {
        SequenceLayout layout = kind switch
        {
            "packed" => SequenceLayout.Packed([0, 1, 1, 64, 200, tokens]),
            "padded" => SequenceLayout.LeftPadded([0, 70, tokens]),
            _ => SequenceLayout.Dense,
        };
        int batch = kind == "packed" ? 1 : 3;
        Case c = Case.Of(batch, tokens, 2, 8, 1);
        using var prefix = new TwoLevelPrefix(layout, batch, tokens, 2);
        float[] alpha = c.Run(prefix).Y, u = prefix.ToDecay();
        Assert.Equal(c.Run().Y, alpha); // padding has a gate too, for all that nobody reads it
        foreach ((int index, Segment segment) in prefix.Segments.Index())
        {
            for (int head = 0; head < 2; head++)
            {
                double sum = 0;
                for (int t = segment.Start + 1; t < segment.End; t++)
                {
                    sum += alpha[(((segment.Batch * tokens) + t) * 2) + head];
                    Assert.Equal(sum, prefix.Between(index, head, segment.Start, t), 1e-9 * (1 + sum));
                    Assert.Equal(
                        -(sum + prefix.Local(segment.Batch, head)[segment.Start]),
                        u[(((segment.Batch * tokens) + t) * 2) + head],
                        1e-6 * (1 + sum));
                }
            }
        }
    }

    [Fact]
    public void The_distance_between_neighbours_is_as_exact_at_position_100_000_as_at_the_start()
    {
        const int tokens = 100_000;
        Case c = Case.Of(1, tokens, 1, 1, 3);
        using var prefix = new TwoLevelPrefix(SequenceLayout.Dense, 1, tokens, 1);
        float[] alpha = c.Run(prefix).Y;
        double worst = 0;
        for (int t = tokens - 500; t < tokens; t++) worst = Math.Max(worst, Math.Abs(prefix.Between(0, 0, t - 1, t) - alpha[t]));
        Assert.InRange(worst, 0, 1e-10);
    }

    [Fact]
    public void Refuses_shapes_that_do_not_match()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Tensor.Zeros([1, 2, 4])), weight = tape.Own(Tensor.Zeros([3, 4])), bias = tape.Own(Tensor.Zeros([3]));
        Assert.Equal(
            "DecayGate expects a gate weight of shape [H, 4] for x [1, 2, 4], but got [4, 3].",
            Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, tape.View(weight, [4, 3]), bias, weight)).Message);
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, tape.View(x, [2, 4]), weight, bias, weight));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, tape.View(bias, [1, 3]), weight));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, bias, bias));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, bias, weight, epsilon: -1e-3f));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, bias, weight, epsilon: float.NaN));
    }

    private sealed record Case(Shape Shape, float[] X, float[] GateWeight, float[] GateBias, float[] AmplitudeWeight, float[] Dalpha)
    {
        private int Heads => GateBias.Length;

        public DecayGateReference Reference =>
            new(Samples.Widen(X), Samples.Widen(GateWeight), Samples.Widen(GateBias), Samples.Widen(AmplitudeWeight), Epsilon);

        public static Case Of(int batch, int tokens, int heads, int width, float scale)
        {
            float weightScale = scale / MathF.Sqrt(width);
            return new(
                [batch, tokens, width],
                Samples.Normal(batch * tokens * width, 1),
                Samples.Normal(heads * width, 2, weightScale),
                Samples.Normal(heads, 3),
                Samples.Normal(heads * width, 4, weightScale),
                Samples.Normal(batch * tokens * heads, 5));
        }

        public Differentiated Run(TwoLevelPrefix? prefix = null) => Differentiated.Run(
            Dalpha,
            (tape, inputs) => DecayGate.Apply(tape, inputs[0], inputs[1], inputs[2], inputs[3], Epsilon, prefix),
            (X, Shape),
            (GateWeight, [Heads, Shape[2]]),
            (GateBias, [Heads]),
            (AmplitudeWeight, [Heads, Shape[2]]));
    }
}
