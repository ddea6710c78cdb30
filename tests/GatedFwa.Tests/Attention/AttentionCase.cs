using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>Inputs of one attention, what the kernels make of them, and what the double reference does.</summary>
internal sealed class AttentionCase
{
    /// <summary>docs/precision.md: relative error of o and lse.</summary>
    public const double ForwardTolerance = 3e-6;

    /// <summary>Of the gradients.</summary>
    public const double BackwardTolerance = 1e-5;

    /// <summary>Where the kernels run, and in which precision.</summary>
    public TestBackend Backend { get; init; } = TestBackend.Cpu;

    public required GatedWindowShape Shape { get; init; }

    public AttentionOptions Options { get; init; } = new();

    public required float[] Q { get; init; }

    public required float[] K { get; init; }

    public required float[] V { get; init; }

    /// <summary>Empty for no gate.</summary>
    public required float[] Alpha { get; init; }

    public required float[] OutputGradient { get; init; }

    /// <summary>
    /// Normal q, k, v and dO; decay as a trained gate has it, uniform in 0 … <paramref name="decay"/>; no gate where that is
    /// negative.
    /// </summary>
    public static AttentionCase Random(GatedWindowShape shape, AttentionOptions options, float decay = 0.3f, ulong seed = 1, TestBackend? backend = null) => new()
    {
        Backend = backend ?? TestBackend.Cpu,
        Shape = shape,
        Options = options,
        Q = Samples.Normal(shape.QueryCount, seed),
        K = Samples.Normal(shape.KeyCount, seed + 1),
        V = Samples.Normal(shape.KeyCount, seed + 2),
        Alpha = decay < 0 ? [] : Samples.Uniform(shape.AlphaCount, seed + 3, 0, decay),
        OutputGradient = Samples.Normal(shape.QueryCount, seed + 4),
    };

    /// <summary>The same with other inputs.</summary>
    public AttentionCase With(
        float[]? q = null, float[]? k = null, float[]? v = null, float[]? alpha = null, AttentionOptions? options = null, GatedWindowShape? shape = null) => new()
    {
        Backend = Backend,
        Shape = shape ?? Shape,
        Options = options ?? Options,
        Q = q ?? Q,
        K = k ?? K,
        V = v ?? V,
        Alpha = alpha ?? Alpha,
        OutputGradient = OutputGradient,
    };

    /// <summary>Queries from one position on and keys from another on, both up to a third, of a batch of one without a prefix.</summary>
    public AttentionCase Part(int firstQuery, int firstKey, int end)
    {
        int row = Shape.Heads * Shape.HeadSize, keyRow = Shape.KeyHeads * Shape.HeadSize;
        return new()
        {
            Backend = Backend,
            Shape = Shape with { Tokens = end - firstQuery, Positions = end - firstKey },
            Options = Options,
            Q = Q[(firstQuery * row)..(end * row)],
            K = K[(firstKey * keyRow)..(end * keyRow)],
            V = V[(firstKey * keyRow)..(end * keyRow)],
            Alpha = Alpha[(firstKey * Shape.Heads)..(end * Shape.Heads)],
            OutputGradient = OutputGradient[(firstQuery * row)..(end * row)],
        };
    }

    /// <summary>The kernels: on the CPU through the door for plain arrays, on a GPU through that for tensors.</summary>
    public AttentionResult Run()
    {
        var result = new AttentionResult(Shape, hasGate: Alpha.Length > 0);
        if (!Backend.Device.IsCpu)
        {
            RunOnTape(result);
            return result;
        }

        GatedWindowAttention.Forward(Q, K, V, Alpha, result.O, result.Lse, Shape, Options);
        GatedWindowAttention.Backward(
            Q, K, V, Alpha, result.O, result.Lse, OutputGradient, result.Dq, result.Dk, result.Dv, result.Dalpha, Shape, Options);
        return result;
    }

    /// <summary>Holds the kernels to the reference, forward and backward.</summary>
    public void FollowsTheReference(double forward = ForwardTolerance, double backward = BackwardTolerance)
    {
        AttentionResult result = Run();
        double[] Rounded(float[] values) => Samples.Widen(Backend.Round(values));
        double[] q = Rounded(Q), k = Rounded(K), v = Rounded(V);
        (forward, backward) = (Backend.Forward(forward), Backend.Gradient(backward));
        double[]? alpha = Alpha.Length == 0 ? null : Samples.Widen(Alpha);
        (double[] o, double[] lse) = GatedWindowReference.Forward(q, k, v, alpha, Shape, Options);
        (double[] dq, double[] dk, double[] dv, double[] dalpha) = GatedWindowReference.Backward(q, k, v, alpha, Rounded(OutputGradient), Shape, Options);
        Require("o", result.O, o, forward);
        Require("lse", result.Lse, lse, forward);
        Require("dq", result.Dq, dq, backward);
        Require("dk", result.Dk, dk, backward);
        Require("dv", result.Dv, dv, backward);
        Require("dalpha", result.Dalpha, dalpha, backward);
    }

    private void RunOnTape(AttentionResult result)
    {
        using var tape = new Tape();
        Shape queries = [Shape.Batch, Shape.Tokens, Shape.Heads, Shape.HeadSize], keys = [Shape.Batch, Shape.Positions, Shape.KeyHeads, Shape.HeadSize];
        Tensor Input(float[] values, Shape shape) => tape.Watch(tape.Own(Backend.Activation(values, shape)));
        Tensor q = Input(Q, queries), k = Input(K, keys), v = Input(V, keys);
        Tensor? alpha = Alpha.Length == 0 ? null : tape.Watch(tape.Own(Backend.Parameter(Alpha, [Shape.Batch, Shape.Positions, Shape.Heads])));
        Tensor lse = tape.Allocate([Shape.Batch, Shape.Heads, Shape.Tokens], DType.F32, Backend.Device);
        Tensor o = GatedWindowAttention.Apply(tape, q, k, v, alpha, Options, lse);
        o.CopyTo(result.O);
        lse.CopyTo(result.Lse);
        tape.Backward(o, tape.Own(Backend.Activation(OutputGradient, queries)));
        tape.Gradient(q)!.CopyTo(result.Dq);
        tape.Gradient(k)!.CopyTo(result.Dk);
        tape.Gradient(v)!.CopyTo(result.Dv);
        if (alpha is not null) tape.Gradient(alpha)!.CopyTo(result.Dalpha);
    }

    private static void Require(string name, float[] actual, double[] expected, double tolerance)
    {
        double error = ErrorNorm.Relative(actual, expected);
        // A query that sees one key has a gradient of zero, the difference of two equal sums: what is left is rounding, by element.
        double rounding = expected.Sum(x => x * x) < 1e-20 * expected.Length ? Math.Sqrt(Math.Max(1, expected.Length)) : 1;
        Assert.True(error <= tolerance * rounding, $"{name} is {error:E2} off, more than {tolerance * rounding:E1}.");
    }
}

/// <summary>What an attention gives, forward and backward.</summary>
internal sealed class AttentionResult(GatedWindowShape shape, bool hasGate)
{
    public float[] O { get; } = new float[shape.QueryCount];

    public float[] Lse { get; } = new float[shape.LseCount];

    public float[] Dq { get; } = new float[shape.QueryCount];

    public float[] Dk { get; } = new float[shape.KeyCount];

    public float[] Dv { get; } = new float[shape.KeyCount];

    public float[] Dalpha { get; } = new float[hasGate ? shape.AlphaCount : 0];

    public float[] All => [.. O, .. Lse, .. Dq, .. Dk, .. Dv, .. Dalpha];
}
