using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

/// <summary>What is shifted, alone or before a norm: random x [B, T, H, D] and mix [B, T, H], where texts lie, and what was before them.</summary>
public record ShiftOperands(TestBackend Backend, Shape Shape, SequenceLayout Layout, float[] X, float[] Mix, float[]? Previous)
{
    internal Segment[] Segments => Layout.Segments("test", Shape[0], Shape[1]);

    public double[]? WidePrevious => Previous is null ? null : Samples.Widen(Previous);

    /// <param name="backend">Where, and how x is rounded.</param>
    /// <param name="extents">B, T, H, D.</param>
    /// <param name="kind">"packed", "padded", "continued" by what went before, or "dense".</param>
    public static ShiftOperands Of(TestBackend backend, int[] extents, string kind)
    {
        Shape shape = [.. extents];
        int tokens = shape[1];
        SequenceLayout layout = kind switch
        {
            "packed" => SequenceLayout.Packed([0, 1, 1, tokens / 3, tokens]),
            "padded" => SequenceLayout.LeftPadded([0, tokens / 2, tokens]),
            _ => SequenceLayout.Dense,
        };
        return new(
            backend,
            shape,
            layout,
            backend.Round(Samples.Normal(shape.Count, 1)),
            backend.Round(Samples.Normal(shape.Count / shape[3], 2)),
            kind == "continued" ? backend.Round(Samples.Normal(shape[0] * shape[2] * shape[3], 5)) : null);
    }

    /// <summary>[B, H, D], or none.</summary>
    public Tensor? PreviousOn(Tape tape) =>
        Previous is null ? null : tape.Own(Backend.Activation(Previous, [Shape[0], Shape[2], Shape[3]]));
}
