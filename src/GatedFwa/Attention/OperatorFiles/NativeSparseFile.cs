using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Native sparse attention on the tensors of a file.</summary>
internal static class NativeSparseFile
{
    private static readonly string[] Optional = ["alpha", "do", "cu_seqlens"];

    private static readonly string[] Known =
    [
        "q", "k", "v", "g_cmp", "g_slc", "g_win", "o", "block_indices", "dq", "dk", "dv", "dalpha", "dg_cmp", "dg_slc", "dg_win",
    ];

    public static OperatorResult Run(OperatorInputs inputs, OperatorSettings settings)
    {
        inputs.RefuseMisspelt(Optional, Known);
        (Shape queries, Shape keys) = inputs.QueriesAndKeys();
        (int batch, int tokens, int heads, int positions) = (queries[0], queries[1], queries[2], keys[1]);
        var options = new NativeSparseOptions
        {
            Window = inputs.Count("window", settings.Window),
            BlockSize = inputs.Count("block_size", settings.BlockSize) ?? new NativeSparseOptions().BlockSize,
            BlockCount = inputs.Count("block_count", settings.BlockCount) ?? new NativeSparseOptions().BlockCount,
            Scale = inputs.Number("scale", settings.Scale) ?? 1 / MathF.Sqrt(queries[3]),
            Layout = inputs.Layout(batch, positions),
        };
        bool backward = inputs.Has("do");

        using var tape = new Tape(recording: backward);
        Tensor Input(string name, Shape shape) => tape.Watch(tape.Own(inputs.Read(name, shape, settings)));
        Tensor Floats(string name, Shape shape, float least = float.NegativeInfinity) =>
            tape.Watch(tape.Own(inputs.ReadFloats(name, shape, settings, least)));
        Tensor q = Input("q", queries), k = Input("k", keys), v = Input("v", keys);
        Tensor? alpha = inputs.Has("alpha") ? Floats("alpha", [batch, positions, heads], least: 0) : null;
        Shape gateShape = [batch, tokens, heads];
        var gates = new BranchGates(Floats("g_cmp", gateShape), Floats("g_slc", gateShape), Floats("g_win", gateShape));
        NativeSparseProblem problem = NativeSparseProblem.Check(q, k, v, alpha, gates, blockIndices: null, options);
        Tensor indices = tape.Allocate(problem.IndicesShape, DType.I32, settings.Device);
        Tensor o = NativeSparseAttention.Apply(tape, q, k, v, alpha, gates, options, indices);

        var outputs = new OperatorOutputs(OperatorFile.NativeSparseKind);
        outputs.Note("window", options.Window);
        outputs.Note("block_size", options.BlockSize);
        outputs.Note("block_count", options.BlockCount);
        outputs.Note("scale", options.Scale);
        outputs.Add("o", o);
        AddIndices(outputs, indices, columns: Math.Min(options.BlockCount, positions));
        if (!backward) return outputs.Result();
        tape.Backward(o, tape.Own(inputs.Read("do", queries, settings)));
        outputs.AddGradients(
            tape,
            ("q", q),
            ("k", k),
            ("v", v),
            ("alpha", alpha),
            ("g_cmp", gates.Compressed),
            ("g_slc", gates.Selected),
            ("g_win", gates.Window));
        return outputs.Result();
    }

    /// <summary>Adds the choice as files have it: n columns, also where no document has so many blocks.</summary>
    private static void AddIndices(OperatorOutputs outputs, Tensor indices, int columns)
    {
        Shape chosen = indices.Shape;
        int[] values = indices.ToIntegers();
        var padded = new int[(long)chosen.Rows * columns];
        Array.Fill(padded, -1);
        for (int row = 0; row < chosen.Rows; row++) values.AsSpan(row * chosen[3], chosen[3]).CopyTo(padded.AsSpan(row * columns));
        outputs.Add("block_indices", [chosen[0], chosen[1], chosen[2], columns], padded);
    }
}
