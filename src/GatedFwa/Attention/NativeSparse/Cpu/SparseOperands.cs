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
        Q = q.Floats;
        O = o.Floats;
        Lse = lse.Floats;
        K = KeyRows(shape, k);
        V = KeyRows(shape, v);
    }

    /// <summary>[B, T, H, D].</summary>
    public float* Q { get; }

    /// <summary>[B, rows, Hkv, D].</summary>
    public HeadRows K { get; }

    /// <summary>[B, rows, Hkv, D].</summary>
    public HeadRows V { get; }

    /// <summary>[B, T, H, D].</summary>
    public float* O { get; }

    /// <summary>[B, H, T], natural logarithms.</summary>
    public float* Lse { get; }

    /// <summary>The rows of each key head; missing where there is no tensor.</summary>
    public static HeadRows KeyRows(GatedWindowShape shape, Tensor? tensor) =>
        tensor is null ? default : new(tensor.Floats, tensor.Shape[1], shape.KeyHeads, shape.HeadSize);
}

/// <summary>Addresses of what the backward pass reads besides, and of the gradients it adds to, each of which may be missing.</summary>
internal readonly unsafe struct SparseGradients
{
    /// <param name="shape">The extents.</param>
    /// <param name="outputGradient">[B, T, H, D].</param>
    /// <param name="lseLog2">[B, T, H]: beside δ, so that a gathered row finds both in one place.</param>
    /// <param name="delta">δ = o·dO of each query, [B, T, H].</param>
    /// <param name="gradients">Accumulators that hold numbers.</param>
    public SparseGradients(GatedWindowShape shape, Tensor outputGradient, float* lseLog2, float* delta, QkvGradients gradients)
    {
        OutputGradient = outputGradient.Floats;
        LseLog2 = lseLog2;
        Delta = delta;
        Dq = gradients.Dq.Tensor is { } dq ? dq.Floats : null;
        Dk = SparseOperands.KeyRows(shape, gradients.Dk.Tensor);
        Dv = SparseOperands.KeyRows(shape, gradients.Dv.Tensor);
    }

    /// <summary>[B, T, H, D].</summary>
    public float* OutputGradient { get; }

    /// <summary>[B, T, H].</summary>
    public float* LseLog2 { get; }

    /// <summary>[B, T, H].</summary>
    public float* Delta { get; }

    /// <summary>[B, T, H, D].</summary>
    public float* Dq { get; }

    /// <summary>[B, rows, Hkv, D].</summary>
    public HeadRows Dk { get; }

    /// <summary>[B, rows, Hkv, D].</summary>
    public HeadRows Dv { get; }
}
