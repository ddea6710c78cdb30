using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>The amplitude β = 1 + ELU(a) on vectors.</summary>
internal static class DecayGateMath<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    /// <summary>1 + a for a ≥ 0, e^a below: without the detour over e^a − 1, so that small β keep their relative precision.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Beta(V a) =>
        S.Select(S.GreaterOrEqual(a, S.Zero), S.Add(S.Create(1f), a), SimdMath<V, S>.Exp(a));

    /// <summary>dβ/da: 1 for a ≥ 0, else e^a, which is β itself.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V BetaSlope(V a, V beta) => S.Select(S.GreaterOrEqual(a, S.Zero), S.Create(1f), beta);
}
