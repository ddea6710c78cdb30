using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>Inputs of one attention, what the kernels make of them, and what the double reference does.</summary>
internal sealed class AttentionCase
{
    /// <summary>docs/precision.md: relative error of o and lse.</summary>
    public const double ForwardTolerance = 3e-6;

    /// <summary>Of the gradients.</summary>
    public const double BackwardTolerance = 1e-5;

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
    public static AttentionCase Random(GatedWindowShape shape, AttentionOptions options, float decay = 0.3f, ulong seed = 1) => new()
    {
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
        Shape = shape ?? Shape,
        Options = options ?? Options,
        Q = q ?? Q,
        K = k ?? K,
        V = v ?? V,
        Alpha = alpha ?? Alpha,
        OutputGradient = OutputGradient,
    };

    /// <summary>The kernels, through the door for plain arrays.</summary>
    public AttentionResult Run()
    {
        var result = new AttentionResult(Shape, hasGate: Alpha.Length > 0);
        GatedWindowAttention.Forward(Q, K, V, Alpha, result.O, result.Lse, Shape, Options);
        GatedWindowAttention.Backward(
            Q, K, V, Alpha, result.O, result.Lse, OutputGradient, result.Dq, result.Dk, result.Dv, result.Dalpha, Shape, Options);
        return result;
    }

    /// <summary>Holds the kernels to the reference, forward and backward.</summary>
    public void FollowsTheReference(double forward = ForwardTolerance, double backward = BackwardTolerance)
    {
        AttentionResult result = Run();
        double[] q = Samples.Widen(Q), k = Samples.Widen(K), v = Samples.Widen(V);
        double[]? alpha = Alpha.Length == 0 ? null : Samples.Widen(Alpha);
        (double[] o, double[] lse) = GatedWindowReference.Forward(q, k, v, alpha, Shape, Options);
        (double[] dq, double[] dk, double[] dv, double[] dalpha) = GatedWindowReference.Backward(q, k, v, alpha, Samples.Widen(OutputGradient), Shape, Options);
        Require("o", result.O, o, forward);
        Require("lse", result.Lse, lse, forward);
        Require("dq", result.Dq, dq, backward);
        Require("dk", result.Dk, dk, backward);
        Require("dv", result.Dv, dv, backward);
        Require("dalpha", result.Dalpha, dalpha, backward);
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
