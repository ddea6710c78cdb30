using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Tensors.Operations;

/// <summary>Rotary position embedding, rotate-half convention (Su et al. 2021).</summary>
public static class Rotary
{
    /// <summary>Rotates the halves of each head by angles that grow with the position.</summary>
    /// <param name="tape">Owns the result and records the operation.</param>
    /// <param name="x">F32 [B, T, H, D], D even.</param>
    /// <param name="firstPosition">The position of token 0; angles are computed in double, so that position 1,000,000 is as exact as 0.</param>
    /// <param name="frequencyBase">The base of the wavelengths.</param>
    /// <returns>F32 [B, T, H, D].</returns>
    /// <exception cref="OperandException">D is odd, or <paramref name="x"/> has not four axes.</exception>
    public static Tensor Apply(Tape tape, Tensor x, long firstPosition = 0, float frequencyBase = 10_000) => throw new NotImplementedException();
}
