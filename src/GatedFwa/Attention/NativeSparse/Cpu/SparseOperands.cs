using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>Addresses of what compressed or selected attention reads and writes forwards.</summary>
internal readonly unsafe struct SparseOperands
{
    /// <param name="shape">The extents.</param>
    /// <param name="q">[B, T, H, D].</param>
    /// <param name="k">[B, rows, Hkv, D].</param>
    /// <param name="v">[B, rows, Hkv, D].</param>
    /// <param name="o">[B, T, H, D].</param>
    /// <param name="lse">[B, H, T].</param>
    public SparseOperands(GatedWindowShape shape, Tensor q, Tensor k, Tensor v, Tensor o, Tensor lse)
    {
        Q = Rows(shape, q.Floats, shape.Tokens, shape.Heads);
        K = Rows(shape, k.Floats, k.Shape[1], shape.KeyHeads);
        V = Rows(shape, v.Floats, k.Shape[1], shape.KeyHeads);
        O = Rows(shape, o.Floats, shape.Tokens, shape.Heads);
        Lse = lse.Floats;
    }

    public HeadRows Q { get; }

    public HeadRows K { get; }

    public HeadRows V { get; }

    public HeadRows O { get; }

    /// <summary>[B, H, T], natural logarithms.</summary>
    public float* Lse { get; }

    /// <summary>The rows of each head of a contiguous tensor; missing where that is null.</summary>
    public static HeadRows Rows(GatedWindowShape shape, float* data, int rows, int heads) => new(data, rows, heads, shape.HeadSize);
}

/// <summary>Addresses of what the backward pass reads besides, and of the gradients it adds to, each of which may be missing.</summary>
internal readonly unsafe struct SparseGradients
{
    /// <param name="shape">The extents.</param>
    /// <param name="outputGradient">[B, T, H, D].</param>
    /// <param name="delta">δ = o·dO of each query, [B, T, H].</param>
    /// <param name="gradients">Accumulators that hold numbers.</param>
    public SparseGradients(GatedWindowShape shape, Tensor outputGradient, float* delta, QkvGradients gradients)
    {
        OutputGradient = SparseOperands.Rows(shape, outputGradient.Floats, shape.Tokens, shape.Heads);
        Delta = delta;
        Dq = Of(gradients.Dq, shape.Heads);
        Dk = Of(gradients.Dk, shape.KeyHeads);
        Dv = Of(gradients.Dv, shape.KeyHeads);

        HeadRows Of(GradientTarget target, int heads) =>
            target.Tensor is { } tensor ? SparseOperands.Rows(shape, tensor.Floats, tensor.Shape[1], heads) : default;
    }

    public HeadRows OutputGradient { get; }

    public float* Delta { get; }

    public HeadRows Dq { get; }

    public HeadRows Dk { get; }

    public HeadRows Dv { get; }
}
