using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>Inputs of one native sparse attention, what the kernels make of them, and what the double reference does.</summary>
internal sealed class NativeSparseCase
{
    /// <summary>docs/precision.md: relative error of o.</summary>
    public const double ForwardTolerance = 3e-6;

    /// <summary>Of the gradients.</summary>
    public const double BackwardTolerance = 1e-5;

    /// <summary>The inputs by name, as the golden files call them.</summary>
    private static readonly string[] Names = ["q", "k", "v", "alpha", "g_cmp", "g_slc", "g_win"];

    /// <summary>Where the kernels run, and in which precision.</summary>
    public TestBackend Backend { get; init; } = TestBackend.Cpu;

    public required GatedWindowShape Shape { get; init; }

    public NativeSparseOptions Options { get; init; } = new();

    /// <summary>q, k, v, alpha (empty for none), g_cmp, g_slc, g_win.</summary>
    public required float[][] Inputs { get; init; }

    public required float[] OutputGradient { get; init; }

    /// <summary>Normal q, k, v and dO, a decay as a trained gate has it, gates in 0 … 1.</summary>
    public static NativeSparseCase Random(
        GatedWindowShape shape, NativeSparseOptions options, bool gated = true, ulong seed = 1, TestBackend? backend = null)
    {
        long gates = (long)shape.Batch * shape.Tokens * shape.Heads;
        return new()
        {
            Backend = backend ?? TestBackend.Cpu,
            Shape = shape,
            Options = options,
            Inputs =
            [
                Samples.Normal(shape.QueryCount, seed),
                Samples.Normal(shape.KeyCount, seed + 1),
                Samples.Normal(shape.KeyCount, seed + 2),
                gated ? Samples.Uniform(shape.AlphaCount, seed + 3, 0, 0.3f) : [],
                Samples.Uniform(gates, seed + 4),
                Samples.Uniform(gates, seed + 5),
                Samples.Uniform(gates, seed + 6),
            ],
            OutputGradient = Samples.Normal(shape.QueryCount, seed + 7),
        };
    }

    /// <summary>What a golden file asks for.</summary>
    public static NativeSparseCase Of(Golden golden, TestBackend backend)
    {
        Shape q = golden.Shape("q"), k = golden.Shape("k");
        return new()
        {
            Backend = backend,
            Shape = new GatedWindowShape(q[0], q[1], k[1], q[2], k[2], q[3]),
            Options = new NativeSparseOptions
            {
                Window = golden.Window,
                BlockSize = golden.Count("block_size"),
                BlockCount = golden.Count("block_count"),
                Scale = golden.Scale,
                Layout = golden.Layout,
            },
            Inputs = [.. Names.Select(golden.Floats)],
            OutputGradient = golden.Floats("do"),
        };
    }

    /// <summary>The same with the three gates as given: 1 for one branch and 0 for the others shows that branch alone.</summary>
    public NativeSparseCase WithGates(float compressed, float selected, float window) => With(
        [.. Inputs[..4], .. new[] { compressed, selected, window }.Select(gate => Enumerable.Repeat(gate, Inputs[4].Length).ToArray())]);

    /// <summary>The same with other inputs, options or extents.</summary>
    public NativeSparseCase With(float[][]? inputs = null, NativeSparseOptions? options = null, GatedWindowShape? shape = null) => new()
    {
        Backend = Backend,
        Shape = shape ?? Shape,
        Options = options ?? Options,
        Inputs = inputs ?? Inputs,
        OutputGradient = OutputGradient,
    };

    /// <summary>The inputs as a backend's activations hold them.</summary>
    public NativeSparseInputs Doubles()
    {
        double[][] inputs = [.. Inputs.Select((values, i) => Samples.Widen(i < 3 ? Backend.Round(values) : values))];
        return new(inputs[0], inputs[1], inputs[2], Inputs[3].Length == 0 ? null : inputs[3], inputs[4], inputs[5], inputs[6]);
    }

    /// <summary>The kernels, forward and backward, through the door.</summary>
    public NativeSparseResult Run()
    {
        using var tape = new Tape();
        Shape queries = [Shape.Batch, Shape.Tokens, Shape.Heads, Shape.HeadSize];
        Shape keys = [Shape.Batch, Shape.Positions, Shape.KeyHeads, Shape.HeadSize];
        Shape gates = [Shape.Batch, Shape.Tokens, Shape.Heads];
        Shape[] shapes = [queries, keys, keys, [Shape.Batch, Shape.Positions, Shape.Heads], gates, gates, gates];
        Tensor?[] inputs = [.. Inputs.Select((values, i) => i == 3 && values.Length == 0
            ? null
            : tape.Watch(tape.Own(i < 3 ? Backend.Activation(values, shapes[i]) : Backend.Parameter(values, shapes[i]))))];
        Tensor indices = tape.Allocate(NativeSparseProblem.Check(Shape, Options).IndicesShape, DType.I32, Backend.Device);
        Tensor o = NativeSparseAttention.Apply(
            tape, inputs[0]!, inputs[1]!, inputs[2]!, inputs[3], new BranchGates(inputs[4]!, inputs[5]!, inputs[6]!), Options, indices);
        float[] output = o.ToArray();
        tape.Backward(o, tape.Own(Backend.Activation(OutputGradient, queries)));
        return new(output, indices.ToIntegers(), [.. inputs.Select(input => input is null ? [] : tape.Gradient(input)!.ToArray())]);
    }

    /// <summary>Holds the kernels to the reference, forward and backward, under the choice of blocks that the kernels made.</summary>
    public void FollowsTheReference(double forward = ForwardTolerance, double backward = BackwardTolerance)
    {
        NativeSparseResult result = Run();
        NativeSparseInputs inputs = Doubles();
        (double[] o, _) = NativeSparseReference.Forward(inputs, Shape, Options, result.Indices);
        Require("o", result.O, o, Backend.Forward(forward));
        NativeSparseInputs gradients = NativeSparseReference.Backward(
            inputs, result.Indices, Samples.Widen(Backend.Round(OutputGradient)), Shape, Options);
        double[][] expected = [gradients.Q, gradients.K, gradients.V, gradients.Alpha ?? [], .. gradients.Gates];
        for (int i = 0; i < expected.Length; i++) Require("d" + Names[i], result.Gradients[i], expected[i], Backend.Gradient(backward));
    }

    private static void Require(string name, float[] actual, double[] expected, double tolerance)
    {
        double error = ErrorNorm.Relative(actual, expected);
        // A query that sees one key has a gradient of zero, the difference of two equal sums: what is left is rounding, by element.
        double rounding = expected.Sum(x => x * x) < 1e-20 * expected.Length ? Math.Sqrt(Math.Max(1, expected.Length)) : 1;
        Assert.True(error <= tolerance * rounding, $"{name} is {error:E2} off, more than {tolerance * rounding:E1}.");
    }
}

/// <summary>What a native sparse attention gives, forward and backward.</summary>
/// <param name="O">[B, T, H, D].</param>
/// <param name="Indices">[B, Hkv, T, n].</param>
/// <param name="Gradients">Of q, k, v, alpha (empty where there is none), g_cmp, g_slc and g_win.</param>
internal sealed record NativeSparseResult(float[] O, int[] Indices, float[][] Gradients)
{
    public float[] All => [.. O, .. Indices, .. Gradients.SelectMany(gradient => gradient)];
}
