using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

public sealed class DecayGateTests() : DecayGateSuite(TestBackend.Cpu)
{
    [Fact]
    public void The_prefix_agrees_with_the_golden_file()
    {
        using Golden golden = Golden.Open("gate_basic");
        using var prefix = new TwoLevelPrefix(SequenceLayout.Dense, golden.Shape("x")[0], golden.Shape("x")[1], golden.Shape("alpha")[2]);
        RunGolden(golden, (tape, inputs) => DecayGate.Apply(tape, inputs[0], inputs[1], inputs[2], inputs[3], golden.Epsilon, prefix));
        ErrorNorm.Require(prefix.ToDecay(), Samples.Widen(golden.Floats("u")), 5e-6);
    }

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        Case c = NewCase(1, 5, 2, 3, 1.5f);
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
        Case c = NewCase(2, 777, 5, 48, 1);
        ThreadInvariance.Check(() => Run(c));
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
        Case c = NewCase(batch, tokens, 2, 8, 1);
        using var prefix = new TwoLevelPrefix(layout, batch, tokens, 2);
        float[] alpha = Run(c, prefix).Y, u = prefix.ToDecay();
        Assert.Equal(Run(c).Y, alpha); // padding has a gate too, for all that nobody reads it
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
        Case c = NewCase(1, tokens, 1, 1, 3);
        using var prefix = new TwoLevelPrefix(SequenceLayout.Dense, 1, tokens, 1);
        float[] alpha = Run(c, prefix).Y;
        double worst = 0;
        for (int t = tokens - 500; t < tokens; t++) worst = Math.Max(worst, Math.Abs(prefix.Between(0, 0, t - 1, t) - alpha[t]));
        Assert.InRange(worst, 0, 1e-10);
    }
}

public sealed class DecayGateCudaTests() : DecayGateCudaSuite(TestBackend.CudaFloat32);

public sealed class DecayGateCudaBFloat16Tests() : DecayGateCudaSuite(TestBackend.CudaBFloat16);

public sealed class DecayGateCudaFloat16Tests() : DecayGateCudaSuite(TestBackend.CudaFloat16);

public abstract class DecayGateCudaSuite(TestBackend backend) : DecayGateSuite(backend)
{
    [Fact]
    public void The_prefix_agrees_with_the_golden_file()
    {
        using Golden golden = Golden.Open("gate_basic");
        using DecayGatePrefix prefix = DecayGatePrefix.Empty(
            golden.Shape("x")[0], golden.Shape("x")[1], golden.Shape("alpha")[2], Backend.Device);
        RunGolden(
            golden, (tape, inputs) => DecayGate.ApplyOnCuda(tape, inputs[0], inputs[1], inputs[2], inputs[3], golden.Epsilon, prefix));
        ErrorNorm.Require(prefix.ToDecay(SequenceLayout.Dense), Samples.Widen(golden.Floats("u")), Backend.Forward(5e-6));
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(2, 64, 4)]
    [InlineData(2, 197, 3)]
    [InlineData(1, 300, 20)]
    public void The_prefix_sums_chunks_of_every_row(int batch, int tokens, int heads)
    {
        Case c = NewCase(batch, tokens, heads, 8, 1);
        using DecayGatePrefix prefix = DecayGatePrefix.Empty(batch, tokens, heads, Backend.Device);
        float[] alpha = Run(c, prefix).Y;
        double[] local = DecayGatePrefix.Sums(prefix.Local), totals = DecayGatePrefix.Sums(prefix.Totals);
        Assert.Equal(Run(c).Y, alpha);
        int chunks = totals.Length / (batch * heads);
        float most = DecayGatePrefix.MostDecay(Backend.Activations);
        for (int row = 0; row < batch * heads; row++)
        {
            double sum = 0;
            for (int t = 0; t < tokens; t++)
            {
                if (t % 64 == 0) sum = 0;
                sum += Math.Min(most, alpha[((((row / heads) * tokens) + t) * heads) + (row % heads)]);
                Assert.Equal(sum, local[(row * tokens) + t], 1e-13 * sum);
                if (t % 64 == 63 || t == tokens - 1) Assert.Equal(sum, totals[(row * chunks) + (t / 64)], 1e-13 * sum);
            }
        }
    }

    [Theory]
    [InlineData(2, 197, 3)]
    [InlineData(1, 128, 8)]
    public void The_prefix_is_what_attention_would_sum_up_itself(int batch, int tokens, int heads)
    {
        const int Size = 16;
        Case c = NewCase(batch, tokens, heads, 8, 1);
        float[] qkv = Samples.Normal((long)batch * tokens * heads * Size, 7);
        float[] Attend(bool ready)
        {
            using var tape = new Tape(recording: false);
            Tensor q = tape.Own(Backend.Activation(qkv, [batch, tokens, heads, Size])), x = tape.Own(Backend.Activation(c.X, c.Shape));
            Tensor weight = tape.Own(Backend.Parameter(c.GateWeight, [heads, 8])), bias = tape.Own(Backend.Parameter(c.GateBias, [heads]));
            DecayGatePrefix prefix = DecayGatePrefix.On(tape, batch, tokens, heads, Backend.Device);
            Tensor alpha = DecayGate.ApplyOnCuda(tape, x, weight, bias, weight, Epsilon, prefix);
            return GatedWindowAttention.Apply(tape, q, q, q, alpha, ready ? prefix : null, new AttentionOptions { Window = 70 }).ToArray();
        }

        Assert.Equal(Attend(ready: false), Attend(ready: true));
    }

    [Fact]
    public void Sums_begin_anew_at_every_document()
    {
        const int Tokens = 200, Heads = 2;
        Case c = NewCase(1, Tokens, Heads, 8, 1);
        using DecayGatePrefix prefix = DecayGatePrefix.Empty(1, Tokens, Heads, Backend.Device);
        float[] alpha = Run(c, prefix).Y, u = prefix.ToDecay(SequenceLayout.Packed([0, 1, 1, 70, 128, Tokens]));
        var expected = new double[u.Length];
        for (int t = 0; t < Tokens; t++)
        {
            for (int head = 0; head < Heads; head++)
            {
                double before = t is 0 or 1 or 70 or 128 ? 0 : expected[((t - 1) * Heads) + head];
                expected[(t * Heads) + head] =
                    before - Math.Min(DecayGatePrefix.MostDecay(Backend.Activations), alpha[(t * Heads) + head]);
            }
        }

        ErrorNorm.Require(u, expected, 1e-6);
    }

    [Fact]
    public void A_decay_beyond_all_measure_counts_as_one_that_cuts_off()
    {
        Case c = NewCase(1, 70, 1, 8, 1) with { GateBias = [-1e6f] };
        using DecayGatePrefix prefix = DecayGatePrefix.Empty(1, 70, 1, Backend.Device);
        float most = DecayGatePrefix.MostDecay(Backend.Activations);
        Assert.True(Run(c, prefix).Y.Max() > most);
        Assert.Equal(64 * most, DecayGatePrefix.Sums(prefix.Totals)[0]);
    }

    private Differentiated Run(Case c, DecayGatePrefix prefix) =>
        Run(c, (tape, inputs) => DecayGate.ApplyOnCuda(tape, inputs[0], inputs[1], inputs[2], inputs[3], Epsilon, prefix));
}

public abstract class DecayGateSuite(TestBackend backend) : TensorTest(backend)
{
    protected const float Epsilon = 1e-3f;

    [Fact]
    public void Agrees_with_the_golden_file()
    {
        using Golden golden = Golden.Open("gate_basic");
        Differentiated result = RunGolden(
            golden, (tape, inputs) => DecayGate.Apply(tape, inputs[0], inputs[1], inputs[2], inputs[3], golden.Epsilon));
        // docs/precision.md: a plain float32 evaluation reaches half of these.
        ErrorNorm.Require(result.Y, Samples.Widen(golden.Floats("alpha")), Backend.Forward(5e-6));
        ErrorNorm.Require(result.Gradients[0], Samples.Widen(golden.Floats("dx")), Backend.Gradient(2e-5));
        ErrorNorm.Require(result.Gradients[1], Samples.Widen(golden.Floats("dgate_weight")), Backend.Gradient(2e-5));
        ErrorNorm.Require(result.Gradients[2], Samples.Widen(golden.Floats("dgate_bias")), Backend.Gradient(2e-5));
        ErrorNorm.Require(result.Gradients[3], Samples.Widen(golden.Floats("damplitude_weight")), Backend.Gradient(2e-5));
    }

    [Theory]
    [InlineData(1, 1, 1, 1, 1f)]
    [InlineData(2, 65, 3, 7, 1f)]
    [InlineData(1, 300, 17, 40, 1f)]
    [InlineData(3, 111, 6, 96, 1f)]
    [InlineData(2, 70, 20, 24, 1f)]
    [InlineData(2, 250, 16, 264, 1f)]
    [InlineData(1, 65, 12, 128, 1f)]
    [InlineData(1, 33, 32, 72, 1f)]
    [InlineData(1, 650, 8, 64, 1f)] // more tokens a tile on a GPU, and still more
    [InlineData(2, 700, 12, 136, 1f)]
    [InlineData(1, 200, 4, 16, 20f)] // β near 0 and large, α up to 700
    public void Follows_the_reference_in_both_directions(int batch, int tokens, int heads, int width, float scale)
    {
        Case c = NewCase(batch, tokens, heads, width, scale);
        Differentiated result = Run(c);
        (double[] dx, double[] dgateWeight, double[] dgateBias, double[] damplitudeWeight) = c.Reference.Backward(Samples.Widen(c.Dalpha));
        ErrorNorm.Require(result.Y, c.Reference.Forward(), 5e-6); // float32 from the projections on
        ErrorNorm.Require(result.Gradients[0], dx, Backend.Gradient(2e-5));
        ErrorNorm.Require(result.Gradients[1], dgateWeight, Backend.Gradient(2e-5));
        ErrorNorm.Require(result.Gradients[2], dgateBias, Backend.Gradient(2e-5));
        ErrorNorm.Require(result.Gradients[3], damplitudeWeight, Backend.Gradient(2e-5));
    }

    [Theory]
    [InlineData(3, 7)]
    [InlineData(8, 136)]
    public void Adds_to_gradients_that_are_there(int heads, int width)
    {
        Case c = NewCase(1, 70, heads, width, 1);
        Differentiated once = Run(c), twice = Run(c, (tape, inputs) => Add.Apply(tape, Gate(tape, inputs), Gate(tape, inputs)));
        foreach ((float[] single, float[] both) in once.Gradients.Zip(twice.Gradients))
            ErrorNorm.Require(both, [.. single.Select(gradient => 2.0 * gradient)], Backend.Gradient(1e-6));

        Tensor Gate(Tape tape, Tensor[] inputs) => DecayGate.Apply(tape, inputs[0], inputs[1], inputs[2], inputs[3], Epsilon);
    }

    [Fact]
    public void Gives_the_same_bits_again()
    {
        Case c = NewCase(2, 150, 5, 48, 1);
        Repeatability.Check(() => Run(c));
    }

    [Fact]
    public void Never_forgets_less_than_nothing()
    {
        Case c = NewCase(1, 500, 3, 8, 30);
        Assert.All(Run(c).Y, alpha => Assert.True(alpha >= 0));
    }

    [Fact]
    public void A_new_gate_forgets_as_much_as_its_bias_says()
    {
        using var tape = new Tape(recording: false);
        Tensor x = tape.Own(Backend.Activation(Samples.Normal(4 * 8, 1), [1, 4, 8]));
        Tensor zero = tape.Own(Backend.Parameter(new float[16], [2, 8])), bias = tape.Own(Backend.Parameter([2f, 2f], [2]));
        // softplus(−2) / 1.001: docs/operator.md, "The gate".
        Assert.All(DecayGate.Apply(tape, x, zero, bias, zero).ToArray(), alpha => Assert.Equal(0.12680124f, alpha, 1e-6f));
    }

    [Fact]
    public void Refuses_shapes_that_do_not_match()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[8], [1, 2, 4]));
        Tensor weight = tape.Own(Backend.Parameter(new float[12], [3, 4])), bias = tape.Own(Backend.Parameter(new float[3], [3]));
        Assert.Equal(
            "DecayGate expects a gate weight of shape [H, 4] for x [1, 2, 4], but got [4, 3].",
            Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, tape.View(weight, [4, 3]), bias, weight)).Message);
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, tape.View(x, [2, 4]), weight, bias, weight));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, tape.View(bias, [1, 3]), weight));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, bias, bias));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, bias, weight, epsilon: -1e-3f));
        Assert.Throws<OperandException>(() => DecayGate.Apply(tape, x, weight, bias, weight, epsilon: float.NaN));
    }

    /// <summary>Inputs as the backend holds them: the products read weights in the type of x.</summary>
    private protected Case NewCase(int batch, int tokens, int heads, int width, float scale)
    {
        float weightScale = scale / MathF.Sqrt(width);
        return new(
            [batch, tokens, width],
            Backend.Round(Samples.Normal(batch * tokens * width, 1)),
            Backend.Round(Samples.Normal(heads * width, 2, weightScale)),
            Samples.Normal(heads, 3),
            Backend.Round(Samples.Normal(heads * width, 4, weightScale)),
            Samples.Normal(batch * tokens * heads, 5));
    }

    private protected Differentiated Run(Case c, TwoLevelPrefix? prefix = null) =>
        Run(c, (tape, inputs) => DecayGate.Apply(tape, inputs[0], inputs[1], inputs[2], inputs[3], Epsilon, prefix));

    private protected Differentiated Run(Case c, Func<Tape, Tensor[], Tensor> apply) => Differentiated.Run(
        Backend,
        c.Dalpha,
        apply,
        (c.X, c.Shape),
        Operand.Parameter(c.GateWeight, [c.Heads, c.Shape[2]]),
        Operand.Parameter(c.GateBias, [c.Heads]),
        Operand.Parameter(c.AmplitudeWeight, [c.Heads, c.Shape[2]]));

    private protected Differentiated RunGolden(Golden golden, Func<Tape, Tensor[], Tensor> apply) => Differentiated.Run(
        Backend,
        golden.Floats("dalpha"),
        apply,
        (golden.Floats("x"), golden.Shape("x")),
        Operand.Parameter(golden.Floats("gate_weight"), golden.Shape("gate_weight")),
        Operand.Parameter(golden.Floats("gate_bias"), golden.Shape("gate_bias")),
        Operand.Parameter(golden.Floats("amplitude_weight"), golden.Shape("amplitude_weight")));

    private protected sealed record Case(
        Shape Shape, float[] X, float[] GateWeight, float[] GateBias, float[] AmplitudeWeight, float[] Dalpha)
    {
        public int Heads => GateBias.Length;

        public DecayGateReference Reference =>
            new(Samples.Widen(X), Samples.Widen(GateWeight), Samples.Widen(GateBias), Samples.Widen(AmplitudeWeight), Epsilon);
    }
}
