using System.Runtime.CompilerServices;

namespace GatedFwa.Tensors.Cpu;

/// <summary>Elementary functions on vectors, each within 3e-7 relative of the true value over its whole range; NaN stays NaN.</summary>
/// <remarks>The polynomials are minimax fits (Remez on the relative error), better than a float can tell.</remarks>
internal static class SimdMath<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>e^x; 0 below −104, ∞ above 89.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x)
    {
        // Beyond these the result is 0 or ∞ anyway, and the exponent stays in Scale's range.
        x = S.Min(S.Create(89f), S.Max(S.Create(-104f), x));

        // x = n ln 2 + r, |r| ≤ ln 2 / 2. The first part of ln 2 has nine bits, so that n times it is exact (Cody and Waite).
        V n = S.Round(S.Multiply(x, S.Create(1.44269504f)));
        V r = S.MultiplyAdd(n, S.Create(-0.693359375f), x);
        r = S.MultiplyAdd(n, S.Create(2.12194440e-4f), r);

        // (e^r − 1 − r) / r²
        V p = S.Create(0.0013814565f);
        p = S.MultiplyAdd(p, r, S.Create(0.00836873148f));
        p = S.MultiplyAdd(p, r, S.Create(0.041668389f));
        p = S.MultiplyAdd(p, r, S.Create(0.166665211f));
        p = S.MultiplyAdd(p, r, S.Create(0.49999994f));
        V power = S.Add(S.MultiplyAdd(S.Multiply(r, r), p, r), S.Create(1f));
        return S.Scale(power, n);
    }

    /// <summary>1 / (1 + e^−x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid(V x) => S.Divide(S.Create(1f), S.Add(S.Create(1f), Exp(S.Negate(x))));

    /// <summary>log(1 + e^x), as exact for −80 (e^x) as for 80 (x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Softplus(V x) => S.Add(S.Max(S.Zero, x), Log1pOfUnit(Exp(S.Negate(S.Abs(x)))));

    /// <summary>log(1 + z) for z in [0, 1], relative even near 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Log1pOfUnit(V z)
    {
        // log(1 + z) = 2 artanh(s), s = z / (2 + z) ≤ 1/3; p = (artanh(s)/s − 1) / s².
        V s = S.Divide(z, S.Add(S.Create(2f), z));
        V t = S.Multiply(s, s);
        V p = S.Create(0.140103847f);
        p = S.MultiplyAdd(p, t, S.Create(0.139999941f));
        p = S.MultiplyAdd(p, t, S.Create(0.2001082f));
        p = S.MultiplyAdd(p, t, S.Create(0.333332062f));
        V twice = S.Add(s, s);
        return S.MultiplyAdd(S.Multiply(twice, t), p, twice);
    }
}
