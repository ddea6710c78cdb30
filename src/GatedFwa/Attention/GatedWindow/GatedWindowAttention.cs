using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>
/// Sliding-window softmax attention whose scores carry a learned decay (GatedFWA, arXiv 2512.07782; docs/operator.md, "The
/// attention").
/// </summary>
public static unsafe partial class GatedWindowAttention
{
    /// <summary>Attends from the last T of S positions to the visible ones.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="q">Activations [B, T, H, D]: F32, and on a GPU BF16 or F16, too.</param>
    /// <param name="k">Of q's type, [B, S, Hkv, D], S ≥ T, H a multiple of Hkv.</param>
    /// <param name="v">Of q's type, [B, S, Hkv, D].</param>
    /// <param name="alpha">F32 [B, S, H]: the decay of each token, or none.</param>
    /// <param name="options">Window, scale and layout.</param>
    /// <param name="lse">F32 [B, H, T]: receives the logarithm of each query's sum of exponentials, when given (−∞ where it sees
    /// nothing).</param>
    /// <returns>Of q's type, [B, T, H, D]; 0 where a query sees nothing.</returns>
    /// <exception cref="OperandException">The shapes do not match, D is not a multiple of 8 in 8 … 256, or the window is below
    /// 1.</exception>
    public static Tensor Apply(Tape tape, Tensor q, Tensor k, Tensor v, Tensor? alpha, AttentionOptions options, Tensor? lse = null) =>
        Apply(tape, q, k, v, alpha, prefix: null, options, lse);

    /// <summary>The same with the prefix that <see cref="DecayGate"/> made along with α; it lives as long as the tape.</summary>
    internal static Tensor Apply(
        Tape tape, Tensor q, Tensor k, Tensor v, Tensor? alpha, DecayGatePrefix? prefix, AttentionOptions options, Tensor? lse = null)
    {
        GatedWindowProblem problem = GatedWindowProblem.Check(q, k, v, alpha, lse, options);
        Tensor o = tape.Allocate(q.Shape, q.Type, q.Device);
        // The backward pass needs it too, and the caller may do as they like with theirs.
        bool records = tape.NeedsGradient(q, k, v, alpha);
        Tensor sums = lse is not null && !records ? lse : tape.Allocate([q.Shape[0], q.Shape[2], q.Shape[1]], DType.F32, q.Device);
        prefix = Forward(problem, q, k, v, alpha, prefix, o, sums, records ? tape : null);
        if (lse is not null && lse != sums) lse.CopyFrom(sums);
        if (records)
        {
            tape.Record(nameof(GatedWindowAttention), o, outputGradient =>
            {
                var gradients = new AttentionGradients(
                    GradientTarget.Of(tape, q), GradientTarget.Of(tape, k), GradientTarget.Of(tape, v), GradientTarget.Of(tape, alpha));
                Backward(problem, q, k, v, alpha, prefix, o, sums, outputGradient, gradients);
            });
        }

        return o;
    }

    // The next two are all that knows of devices.
    private static DecayGatePrefix? Forward(
        GatedWindowProblem problem,
        Tensor q,
        Tensor k,
        Tensor v,
        Tensor? alpha,
        DecayGatePrefix? prefix,
        Tensor o,
        Tensor lse,
        Tape? keeper)
    {
        if (!q.Device.IsCpu) return GatedWindowCuda.Forward(problem, q, k, v, alpha, prefix, o, lse, keeper);
        GatedWindowCpu.Forward(
            problem,
            ForwardOperands.Of(problem.Shape, q.Floats, k.Floats, v.Floats, Address(alpha), o.Floats, lse.Floats));
        return null;
    }

    private static void Backward(
        GatedWindowProblem problem,
        Tensor q,
        Tensor k,
        Tensor v,
        Tensor? alpha,
        DecayGatePrefix? prefix,
        Tensor o,
        Tensor lse,
        Tensor outputGradient,
        AttentionGradients gradients)
    {
        if (!q.Device.IsCpu)
        {
            GatedWindowCuda.Backward(problem, q, k, v, alpha, prefix, o, lse, outputGradient, gradients);
            return;
        }

        GatedWindowShape shape = problem.Shape;
        var forward = ForwardOperands.Of(shape, q.Floats, k.Floats, v.Floats, Address(alpha), o.Floats, lse.Floats);
        (GradientTarget dq, GradientTarget dk, GradientTarget dv, GradientTarget dalpha) = gradients.Cleared();
        GatedWindowCpu.Backward(
            problem,
            BackwardOperands.Of(
                shape,
                forward,
                outputGradient.Floats,
                Address(dq.Tensor),
                Address(dk.Tensor),
                Address(dv.Tensor),
                Address(dalpha.Tensor)));
    }

    private static float* Address(Tensor? tensor) => tensor is null ? null : tensor.Floats;
}
