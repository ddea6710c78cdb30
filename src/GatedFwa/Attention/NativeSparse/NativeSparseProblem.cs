using GatedFwa.Tensors;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>One native sparse attention that has passed the door: what its pieces may trust.</summary>
/// <param name="Window">Extents, scale and segments of every branch, and the window of the window branch.</param>
/// <param name="BlockSize">ℓ, at most one more than the positions: then no block is ever complete.</param>
/// <param name="BlockCount">n, at most the blocks of the longest document.</param>
/// <param name="Blocks">Where blocks lie.</param>
internal sealed record NativeSparseProblem(GatedWindowProblem Window, int BlockSize, int BlockCount, BlockTable Blocks)
{
    private const string Operation = "Native sparse attention";

    /// <summary>The extents.</summary>
    public GatedWindowShape Shape => Window.Shape;

    /// <summary>The factor of q·k.</summary>
    public float Scale => Window.Scale;

    /// <summary>The position of the first query: the T queries are the last T of the S positions.</summary>
    public int FirstQuery => Window.FirstQuery;

    /// <summary>Whether every position lies in a document.</summary>
    public bool CoversEverything => Window.CoversEverything;

    /// <summary>[B, C, Hkv, D].</summary>
    public Shape PooledShape => [Shape.Batch, Blocks.PooledRows, Shape.KeyHeads, Shape.HeadSize];

    /// <summary>[B, Hkv, T, n].</summary>
    public Shape IndicesShape => [Shape.Batch, Shape.KeyHeads, Shape.Tokens, BlockCount];

    /// <summary>[B, H, T].</summary>
    public Shape LseShape => [Shape.Batch, Shape.Heads, Shape.Tokens];

    /// <summary>The tokens of a document that are queries: First ≤ token &lt; End, counted from the document's start.</summary>
    public (int First, int End) Queries(in SegmentBlocks blocks) =>
        (Math.Max(0, FirstQuery - blocks.Segment.Start), blocks.Segment.Length);

    /// <summary>Checks extents and options.</summary>
    /// <exception cref="OperandException">They do not fit each other.</exception>
    public static NativeSparseProblem Check(GatedWindowShape shape, NativeSparseOptions options) =>
        Check(GatedWindowProblem.Check(shape, WindowOptions(options), Operation), options);

    /// <summary>Checks the shapes of tensors and the options.</summary>
    /// <exception cref="OperandException">They do not fit each other.</exception>
    public static NativeSparseProblem Check(
        Tensor q, Tensor k, Tensor v, Tensor? alpha, BranchGates gates, Tensor? blockIndices, NativeSparseOptions options)
    {
        NativeSparseProblem problem = Check(
            GatedWindowProblem.Check(q, k, v, alpha, lse: null, WindowOptions(options), Operation), options);
        Shape gateShape = [q.Shape[0], q.Shape[1], q.Shape[2]];
        foreach (Tensor gate in new[] { gates.Compressed, gates.Selected, gates.Window })
        {
            if (gate.Type != DType.F32 || gate.Shape != gateShape)
                throw Refuse($"branch gates of {DType.F32} [B, T, H], {gateShape}", $"{gate.Type} {gate.Shape}");
        }

        Shape indicesShape = problem.IndicesShape;
        if (blockIndices is not null && (blockIndices.Type != DType.I32 || blockIndices.Shape != indicesShape))
            throw Refuse($"block indices of {DType.I32} [B, Hkv, T, n], {indicesShape}", $"{blockIndices.Type} {blockIndices.Shape}");
        Operands.RequireOneDevice(Operation, q, gates.Compressed, gates.Selected, gates.Window, blockIndices);
        return problem;
    }

    /// <summary>The options of the window branch.</summary>
    public static AttentionOptions WindowOptions(NativeSparseOptions options) =>
        new() { Window = options.Window, Scale = options.Scale, Layout = options.Layout };

    private static NativeSparseProblem Check(GatedWindowProblem window, NativeSparseOptions options)
    {
        if (options.BlockSize < 1) throw Refuse("blocks of at least 1 token", $"{options.BlockSize}");
        if (options.BlockCount < 1) throw Refuse("at least 1 chosen block", $"{options.BlockCount}");
        int size = (int)Math.Min(options.BlockSize, window.Shape.Positions + 1L);
        BlockTable blocks = BlockTable.Of(window.Segments, size);
        return new(window, size, Math.Min(options.BlockCount, blocks.MostBlocks), blocks);
    }

    private static OperandException Refuse(string expected, string actual) => new(Operation, expected, actual);
}
