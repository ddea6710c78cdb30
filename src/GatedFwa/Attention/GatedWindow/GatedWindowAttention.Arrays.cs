using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <content>The door for plain arrays.</content>
public static unsafe partial class GatedWindowAttention
{
    /// <summary>Attends from the last T of S positions to the visible ones.</summary>
    /// <param name="q">[B, T, H, D], row-major.</param>
    /// <param name="k">[B, S, Hkv, D].</param>
    /// <param name="v">[B, S, Hkv, D].</param>
    /// <param name="alpha">[B, S, H]: the decay of each token; empty for none.</param>
    /// <param name="o">Receives [B, T, H, D]; 0 where a query sees nothing.</param>
    /// <param name="lse">Receives [B, H, T]: the logarithm of each query's sum of exponentials, −∞ where it sees nothing. The backward pass
    /// needs it; empty where nobody does.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="options">Window, scale and layout.</param>
    /// <exception cref="OperandException">A length does not follow from the shape, or the shape is not one that attention has.</exception>
    public static void Forward(
        ReadOnlySpan<float> q,
        ReadOnlySpan<float> k,
        ReadOnlySpan<float> v,
        ReadOnlySpan<float> alpha,
        Span<float> o,
        Span<float> lse,
        GatedWindowShape shape,
        AttentionOptions options)
    {
        GatedWindowProblem problem = CheckInputs(q, k, v, alpha, shape, options);
        GatedWindowProblem.CheckLength("o", o.Length, shape.QueryCount);
        GatedWindowProblem.CheckLength("lse", lse.Length, shape.LseCount, optional: true);
        Span<float> sums = lse.IsEmpty ? new float[shape.LseCount] : lse;
        fixed (float* qp = q, kp = k, vp = v, ap = alpha, op = o, lp = sums)
            GatedWindowCpu.Forward(problem, ForwardOperands.Of(shape, qp, kp, vp, ap, op, lp));
    }

    /// <summary>The gradients of the inputs, given that of the output.</summary>
    /// <param name="q">As in the forward pass, and so the next three.</param>
    /// <param name="k">[B, S, Hkv, D].</param>
    /// <param name="v">[B, S, Hkv, D].</param>
    /// <param name="alpha">[B, S, H], or empty.</param>
    /// <param name="o">What the forward pass gave.</param>
    /// <param name="lse">What the forward pass gave.</param>
    /// <param name="outputGradient">[B, T, H, D]: the gradient with respect to <paramref name="o"/>.</param>
    /// <param name="dq">Receives the gradient with respect to q; empty where nobody wants it, and so the next three.</param>
    /// <param name="dk">With respect to k.</param>
    /// <param name="dv">With respect to v.</param>
    /// <param name="dalpha">With respect to α; empty where there is none.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="options">Window, scale and layout.</param>
    /// <exception cref="OperandException">A length does not follow from the shape, or the shape is not one that attention has.</exception>
    public static void Backward(
        ReadOnlySpan<float> q,
        ReadOnlySpan<float> k,
        ReadOnlySpan<float> v,
        ReadOnlySpan<float> alpha,
        ReadOnlySpan<float> o,
        ReadOnlySpan<float> lse,
        ReadOnlySpan<float> outputGradient,
        Span<float> dq,
        Span<float> dk,
        Span<float> dv,
        Span<float> dalpha,
        GatedWindowShape shape,
        AttentionOptions options)
    {
        GatedWindowProblem problem = CheckInputs(q, k, v, alpha, shape, options);
        GatedWindowProblem.CheckLength("o", o.Length, shape.QueryCount);
        GatedWindowProblem.CheckLength("lse", lse.Length, shape.LseCount);
        GatedWindowProblem.CheckLength("the gradient of o", outputGradient.Length, shape.QueryCount);
        GatedWindowProblem.CheckLength("dq", dq.Length, shape.QueryCount, optional: true);
        GatedWindowProblem.CheckLength("dk", dk.Length, shape.KeyCount, optional: true);
        GatedWindowProblem.CheckLength("dv", dv.Length, shape.KeyCount, optional: true);
        GatedWindowProblem.CheckLength("dalpha", dalpha.Length, alpha.IsEmpty ? 0 : shape.AlphaCount, optional: true);
        dq.Clear();
        dk.Clear();
        dv.Clear();
        dalpha.Clear();
        fixed (float* qp = q, kp = k, vp = v, ap = alpha, op = o, lp = lse, gp = outputGradient, dqp = dq, dkp = dk, dvp = dv, dap = dalpha)
        {
            var forward = ForwardOperands.Of(shape, qp, kp, vp, ap, (float*)op, (float*)lp);
            GatedWindowCpu.Backward(problem, BackwardOperands.Of(shape, forward, gp, dqp, dkp, dvp, dap));
        }
    }

    private static GatedWindowProblem CheckInputs(
        ReadOnlySpan<float> q,
        ReadOnlySpan<float> k,
        ReadOnlySpan<float> v,
        ReadOnlySpan<float> alpha,
        GatedWindowShape shape,
        AttentionOptions options)
    {
        GatedWindowProblem problem = GatedWindowProblem.Check(shape, options);
        GatedWindowProblem.CheckLength("q", q.Length, shape.QueryCount);
        GatedWindowProblem.CheckLength("k", k.Length, shape.KeyCount);
        GatedWindowProblem.CheckLength("v", v.Length, shape.KeyCount);
        GatedWindowProblem.CheckLength("alpha", alpha.Length, shape.AlphaCount, optional: true);
        return problem;
    }
}
