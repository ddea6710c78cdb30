using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>
/// The learned decay of GatedFWA (arXiv 2512.07782): α = softplus(−βh) / (β + ε), how much each head forgets at each token.
/// </summary>
public static class DecayGate
{
    internal const float DefaultEpsilon = 1e-3f;

    /// <summary>Computes α from token features.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">[B, T, C], F32, or on a GPU BF16 or F16: token features.</param>
    /// <param name="gateWeight">F32 [H, C]: h = x Wᵀ + b.</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="amplitudeWeight">F32 [H, C]: β = 1 + ELU(x Wᵀ).</param>
    /// <param name="epsilon">Keeps the division by β finite.</param>
    /// <returns>F32 [B, T, H]: α ≥ 0.</returns>
    /// <exception cref="OperandException">The shapes do not match.</exception>
    public static Tensor Apply(
        Tape tape, Tensor x, Tensor gateWeight, Tensor gateBias, Tensor amplitudeWeight, float epsilon = DefaultEpsilon) =>
        Apply(tape, x, gateWeight, gateBias, amplitudeWeight, epsilon, prefix: null);

    /// <summary>The same on the CPU, and fills the prefix sums of α in the same pass.</summary>
    internal static Tensor Apply(
        Tape tape, Tensor x, Tensor gateWeight, Tensor gateBias, Tensor amplitudeWeight, float epsilon, TwoLevelPrefix? prefix)
    {
        Check(x, gateWeight, gateBias, amplitudeWeight, epsilon);
        if (!x.Device.IsCpu) return ApplyOnCuda(tape, x, gateWeight, gateBias, amplitudeWeight, epsilon, prefix: null);
        (int batch, int tokens, int heads) = (x.Shape[0], x.Shape[1], gateWeight.Shape[0]);
        Tensor alpha = tape.Allocate([batch, tokens, heads], DType.F32, x.Device);
        Tensor projections = Tensor.Empty([2 * heads, batch * tokens], DType.F32, x.Device);
        DecayGateCpu.Project(x, gateWeight, amplitudeWeight, projections);
        DecayGateCpu.Forward(projections, gateBias, epsilon, alpha, prefix);
        if (tape.NeedsGradient(x, gateWeight, gateBias, amplitudeWeight))
        {
            tape.Own(projections);
            tape.Record(nameof(DecayGate), alpha, dalpha => DecayGateCpu.Backward(
                x,
                gateWeight,
                gateBias,
                amplitudeWeight,
                projections,
                epsilon,
                dalpha,
                new(tape.Accumulator(x), tape.Accumulator(gateWeight), tape.Accumulator(gateBias), tape.Accumulator(amplitudeWeight))));
        }
        else
        {
            projections.Dispose();
        }

        return alpha;
    }

    /// <summary>The same on a GPU, and fills the prefix that its attention kernels read in the same pass.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">[B, T, C].</param>
    /// <param name="gateWeight">F32 [H, C].</param>
    /// <param name="gateBias">F32 [H].</param>
    /// <param name="amplitudeWeight">F32 [H, C].</param>
    /// <param name="epsilon">Keeps the division by β finite.</param>
    /// <param name="prefix">Of α.</param>
    /// <param name="projected">
    /// [B, T, 2H]: columns of a product of x that both weights take part in, one behind the other. Its values are too coarse for
    /// the gate, but the gradients of x and of the weights are left to that product's way back.
    /// </param>
    internal static Tensor ApplyOnCuda(
        Tape tape,
        Tensor x,
        Tensor gateWeight,
        Tensor gateBias,
        Tensor amplitudeWeight,
        float epsilon,
        DecayGatePrefix? prefix,
        Tensor? projected = null)
    {
        Check(x, gateWeight, gateBias, amplitudeWeight, epsilon);
        (int batch, int tokens, int heads) = (x.Shape[0], x.Shape[1], gateWeight.Shape[0]);
        Tensor alpha = tape.Allocate([batch, tokens, heads], DType.F32, x.Device);
        Tensor projections = DecayGateCuda.Project(x, gateWeight, amplitudeWeight);
        DecayGateCuda.Forward(x.Type, projections, gateBias, epsilon, alpha, prefix);
        bool isRecorded = tape.NeedsGradient(x, gateWeight, gateBias, amplitudeWeight);
        if (isRecorded) tape.Own(projections);
        else projections.Dispose();
        if (!isRecorded) return alpha;
        tape.Record(nameof(DecayGate), alpha, dalpha =>
        {
            if (projected is not null)
            {
                Tensor dprojected = tape.Accumulator(projected, out _)!;
                DecayGateCuda.Backward(projections, gateBias, epsilon, dalpha, dprojected, GradientTarget.Of(tape, gateBias));
                return;
            }

            var gradients = new DecayGateTargets(
                GradientTarget.Of(tape, x),
                GradientTarget.Of(tape, gateWeight),
                GradientTarget.Of(tape, gateBias),
                GradientTarget.Of(tape, amplitudeWeight));
            DecayGateCuda.Backward(x, gateWeight, amplitudeWeight, projections, gateBias, epsilon, dalpha, gradients);
        });
        return alpha;
    }

    private static void Check(Tensor x, Tensor gateWeight, Tensor gateBias, Tensor amplitudeWeight, float epsilon)
    {
        Operands.RequireFloats(nameof(DecayGate), gateWeight, gateBias, amplitudeWeight);
        Operands.RequireActivations(nameof(DecayGate), x);
        if (x.Shape.Rank != 3) throw new OperandException(nameof(DecayGate), "x of shape [B, T, C]", $"{x.Shape}");
        if (gateWeight.Shape.Rank != 2 || gateWeight.Shape[1] != x.Shape[2])
        {
            throw new OperandException(
                nameof(DecayGate),
                $"a gate weight of shape [H, {x.Shape[2]}] for x {x.Shape}",
                $"{gateWeight.Shape}");
        }

        if (gateBias.Shape != [gateWeight.Shape[0]])
            throw new OperandException(nameof(DecayGate), $"a gate bias of shape [{gateWeight.Shape[0]}]", $"{gateBias.Shape}");
        if (amplitudeWeight.Shape != gateWeight.Shape)
        {
            throw new OperandException(
                nameof(DecayGate),
                $"an amplitude weight of the gate weight's shape, {gateWeight.Shape}",
                $"{amplitudeWeight.Shape}");
        }

        if (!(epsilon >= 0 && float.IsFinite(epsilon))) throw new OperandException(nameof(DecayGate), "an ε of at least 0", $"{epsilon}");
    }
}
