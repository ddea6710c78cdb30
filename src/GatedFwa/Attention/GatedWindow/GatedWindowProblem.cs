using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>One attention that has passed the door: extents, window, scale and segments that kernels may trust.</summary>
/// <param name="Shape">The extents.</param>
/// <param name="Window">W, at most the number of positions.</param>
/// <param name="Scale">The factor of q·k.</param>
/// <param name="Segments">Where sequences lie. Dense rows, packed documents and left padding all reduce to this.</param>
/// <param name="CoversEverything">Whether every position lies in a segment.</param>
internal sealed record GatedWindowProblem(GatedWindowShape Shape, int Window, float Scale, Segment[] Segments, bool CoversEverything)
{
    private const string Operation = "Gated window attention";
    private const int HeadSizeStep = 8, MaxHeadSize = 256;

    /// <summary>The position of the first query.</summary>
    public int FirstQuery => Shape.Positions - Shape.Tokens;

    /// <summary>What the window lets see.</summary>
    public VisibleBlocks Visible => new(Window);

    /// <summary>Checks extents and options.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="options">The options.</param>
    /// <param name="operation">Who asks, for the error's sentence: this attention may be a branch of another.</param>
    /// <exception cref="OperandException">They do not fit each other.</exception>
    public static GatedWindowProblem Check(GatedWindowShape shape, AttentionOptions options, string operation = Operation)
    {
        OperandException Refuse(string expected, string actual) => new(operation, expected, actual);
        if (shape.Batch < 0 || shape.Tokens < 0) throw Refuse("a batch and tokens of at least 0", $"B {shape.Batch} and T {shape.Tokens}");
        if (shape.Positions < shape.Tokens)
            throw Refuse($"at least as many key positions as the {shape.Tokens} queries", $"{shape.Positions}");
        if (shape.HeadSize is < HeadSizeStep or > MaxHeadSize || shape.HeadSize % HeadSizeStep != 0)
            throw Refuse($"a head size that is a multiple of {HeadSizeStep} from {HeadSizeStep} to {MaxHeadSize}", $"{shape.HeadSize}");
        if (shape.KeyHeads < 1 || shape.Heads < 1 || shape.Heads % shape.KeyHeads != 0)
            throw Refuse("query heads that are a multiple of the key heads", $"{shape.Heads} query heads and {shape.KeyHeads} key heads");
        if (options.Window is < 1) throw Refuse("a window of at least 1 key, the query's own, or none", $"{options.Window}");
        if (options.Scale is { } given && !float.IsFinite(given)) throw Refuse("a finite scale", $"{given}");
        Segment[] segments = options.Layout.Segments(operation, shape.Batch, shape.Positions);
        int window = Math.Clamp(options.Window ?? int.MaxValue, 1, Math.Max(1, shape.Positions));
        return new(shape, window, options.Scale ?? (float)(1 / Math.Sqrt(shape.HeadSize)), segments, options.Layout.CoversEverything);
    }

    /// <summary>Checks the shapes of tensors and the options.</summary>
    /// <exception cref="OperandException">They do not fit each other.</exception>
    public static GatedWindowProblem Check(
        Tensor q, Tensor k, Tensor v, Tensor? alpha, Tensor? lse, AttentionOptions options, string operation = Operation)
    {
        OperandException Refuse(string expected, string actual) => new(operation, expected, actual);
        Operands.RequireActivations(operation, q.Type, q.Device);
        foreach ((string name, Tensor? tensor, DType type) in new[]
        {
            ("k", k, q.Type), ("v", v, q.Type), ("alpha", alpha, DType.F32), ("lse", lse, DType.F32),
        })
        {
            if (tensor is not null && tensor.Type != type) throw Refuse($"{name} in {type}", $"{tensor.Type}");
            if (tensor is not null && tensor.Device != q.Device) throw Refuse($"{name} on {q.Device}, where q is", $"{tensor.Device}");
        }

        if (q.Shape.Rank != 4) throw Refuse("q of shape [B, T, H, D]", $"{q.Shape}");
        (int batch, int tokens, int heads, int headSize) = (q.Shape[0], q.Shape[1], q.Shape[2], q.Shape[3]);
        if (k.Shape.Rank != 4 || k.Shape[0] != batch || k.Shape[3] != headSize)
            throw Refuse($"k of shape [{batch}, S, Hkv, {headSize}]", $"{k.Shape}");
        if (v.Shape != k.Shape) throw Refuse($"v of k's shape {k.Shape}", $"{v.Shape}");
        int positions = k.Shape[1];
        Shape alphaShape = [batch, positions, heads], lseShape = [batch, heads, tokens];
        if (alpha is not null && alpha.Shape != alphaShape) throw Refuse($"alpha of shape [B, S, H], {alphaShape}", $"{alpha.Shape}");
        if (lse is not null && lse.Shape != lseShape) throw Refuse($"lse of shape [B, H, T], {lseShape}", $"{lse.Shape}");
        return Check(new GatedWindowShape(batch, tokens, positions, heads, k.Shape[2], headSize), options, operation);
    }

    /// <summary>Checks the length of a plain array.</summary>
    /// <exception cref="OperandException">It is not <paramref name="expected"/> nor, where it may be left out, 0.</exception>
    public static void CheckLength(string name, long length, long expected, bool optional = false)
    {
        if (length == expected || (optional && length == 0)) return;
        throw new OperandException(Operation, $"{name} of {expected} elements{(optional ? " or empty" : "")}", $"{length}");
    }
}
