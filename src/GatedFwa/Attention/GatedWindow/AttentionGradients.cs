using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>Where a gradient goes.</summary>
/// <param name="Tensor">The accumulator; null where nobody wants the gradient.</param>
/// <param name="IsFresh">Whether its elements are not set, so that a kernel must store and not add.</param>
internal readonly record struct GradientTarget(Tensor? Tensor, bool IsFresh)
{
    /// <summary>The accumulator of an input.</summary>
    public static GradientTarget Of(Tape tape, Tensor? input)
    {
        Tensor? accumulator = tape.Accumulator(input, out bool isFresh);
        return new(accumulator, isFresh);
    }

    /// <summary>The same, ready to add to.</summary>
    public GradientTarget Cleared()
    {
        if (IsFresh) Tensor!.Clear();
        return this with { IsFresh = false };
    }
}

/// <summary>Where the gradients of an attention go.</summary>
/// <param name="Dq">[B, T, H, D].</param>
/// <param name="Dk">[B, S, Hkv, D].</param>
/// <param name="Dv">[B, S, Hkv, D].</param>
/// <param name="Dalpha">F32 [B, S, H].</param>
internal readonly record struct AttentionGradients(GradientTarget Dq, GradientTarget Dk, GradientTarget Dv, GradientTarget Dalpha)
{
    /// <summary>
    /// The same, cleared where kernels do not write every element once: positions in padding have no writer, and an input that is
    /// query, key and value at a time has several.
    /// </summary>
    public AttentionGradients ClearedUnless(bool coversEverything)
    {
        Storage?[] storages = [.. new[] { Dq, Dk, Dv }.Where(target => target.Tensor is not null).Select(target => target.Tensor!.Storage)];
        return coversEverything && storages.Distinct().Count() == storages.Length ? this : Cleared();
    }

    /// <summary>The same, ready to add to.</summary>
    public AttentionGradients Cleared() => new(Dq.Cleared(), Dk.Cleared(), Dv.Cleared(), Dalpha.Cleared());
}
