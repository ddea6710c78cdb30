using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GatedFwa.Tensors.Cpu;

/// <summary>Which vector width this process uses. A constant to the JIT, so that a dispatch on it costs nothing.</summary>
public static class Simd
{
    /// <summary>
    /// Floats in the widest vector used: 16, 8 or 4. <c>DOTNET_EnableAVX512=0</c> and <c>DOTNET_EnableAVX2=0</c> lower it.
    /// </summary>
    public static int Width { get; } =
        Avx512F.IsSupported && Avx512DQ.IsSupported ? 16
        : Vector256.IsHardwareAccelerated && Fma.IsSupported ? 8
        : 4;

    /// <summary>The width in words, for <c>info</c> and bench headers.</summary>
    public static string Description => Width switch
    {
        16 => "AVX-512 (16 floats)",
        8 => "AVX2 + FMA (8 floats)",
        _ when Vector128.IsHardwareAccelerated => "128-bit vectors (4 floats)",
        _ => "no vector unit (scalar code)",
    };
}
