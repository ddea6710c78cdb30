using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>Gated window attention on the tensors of a file.</summary>
internal static class AttentionFile
{
    private static readonly string[] Optional = ["alpha", "do", "cu_seqlens"];
    private static readonly string[] Known = ["q", "k", "v", "o", "lse", "dq", "dk", "dv", "dalpha"];

    public static OperatorResult Run(OperatorInputs inputs, OperatorSettings settings)
    {
        inputs.RefuseMisspelt(Optional, Known);
        (Shape queries, Shape keys) = inputs.QueriesAndKeys();
        (int batch, int tokens, int heads, int positions) = (queries[0], queries[1], queries[2], keys[1]);
        int? window = inputs.Count("window", settings.Window);
        float scale = inputs.Number("scale", settings.Scale) ?? 1 / MathF.Sqrt(queries[3]);
        bool backward = inputs.Has("do");

        using var tape = new Tape(recording: backward);
        Tensor Input(string name, Shape shape) => tape.Watch(tape.Own(inputs.Read(name, shape, settings)));
        Tensor q = Input("q", queries), k = Input("k", keys), v = Input("v", keys);
        Tensor? alpha = inputs.Has("alpha")
            ? tape.Watch(tape.Own(inputs.ReadFloats("alpha", [batch, positions, heads], settings, least: 0)))
            : null;
        var options = new AttentionOptions { Window = window, Scale = scale, Layout = inputs.Layout(batch, positions) };
        Tensor lse = tape.Allocate([batch, heads, tokens], DType.F32, settings.Device);
        Tensor o = GatedWindowAttention.Apply(tape, q, k, v, alpha, options, lse);

        var outputs = new OperatorOutputs(OperatorFile.AttentionKind);
        outputs.Note("window", window);
        outputs.Note("scale", scale);
        outputs.Add("o", o);
        outputs.Add("lse", lse);
        if (!backward) return outputs.Result();
        tape.Backward(o, tape.Own(inputs.Read("do", queries, settings)));
        outputs.AddGradients(tape, ("q", q), ("k", k), ("v", v), ("alpha", alpha));
        return outputs.Result();
    }
}
