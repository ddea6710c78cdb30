namespace GatedFwa.Attention;

/// <summary>Addresses of what a forward pass reads and writes.</summary>
internal unsafe struct ForwardOperands
{
    /// <summary>[B, T, H, D] and twice [B, S, Hkv, D].</summary>
    public HeadRows Q, K, V;

    /// <summary>[B, S, H], or missing.</summary>
    public HeadRows Alpha;

    /// <summary>[B, T, H, D].</summary>
    public HeadRows O;

    /// <summary>[B, H, T], natural logarithms.</summary>
    public float* Lse;

    public static ForwardOperands Of(GatedWindowShape shape, float* q, float* k, float* v, float* alpha, float* o, float* lse) => new()
    {
        Q = new HeadRows(q, shape.Tokens, shape.Heads, shape.HeadSize),
        K = new HeadRows(k, shape.Positions, shape.KeyHeads, shape.HeadSize),
        V = new HeadRows(v, shape.Positions, shape.KeyHeads, shape.HeadSize),
        Alpha = new HeadRows(alpha, shape.Positions, shape.Heads, 1),
        O = new HeadRows(o, shape.Tokens, shape.Heads, shape.HeadSize),
        Lse = lse,
    };
}

/// <summary>Addresses of what a backward pass reads and of the gradients it adds to, each of which may be missing.</summary>
internal unsafe struct BackwardOperands
{
    /// <summary>What the forward pass read and wrote.</summary>
    public ForwardOperands Forward;

    /// <summary>[B, T, H, D].</summary>
    public HeadRows OutputGradient;

    /// <summary>Of the shapes of q, k, v and α.</summary>
    public HeadRows Dq, Dk, Dv, Dalpha;

    public static BackwardOperands Of(
        GatedWindowShape shape, ForwardOperands forward, float* outputGradient, float* dq, float* dk, float* dv, float* dalpha) => new()
    {
        Forward = forward,
        OutputGradient = new HeadRows(outputGradient, shape.Tokens, shape.Heads, shape.HeadSize),
        Dq = new HeadRows(dq, shape.Tokens, shape.Heads, shape.HeadSize),
        Dk = new HeadRows(dk, shape.Positions, shape.KeyHeads, shape.HeadSize),
        Dv = new HeadRows(dv, shape.Positions, shape.KeyHeads, shape.HeadSize),
        Dalpha = new HeadRows(dalpha, shape.Positions, shape.Heads, 1),
    };
}
