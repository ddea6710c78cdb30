using System.Runtime.Intrinsics;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// One vector width, for kernels that are written once and compiled for each: <c>Kernel&lt;V, S&gt;() where S : ISimd&lt;V&gt;</c>.
/// The JIT specialises such a method per struct, so every call below becomes one instruction (measured: the peak).
/// </summary>
/// <typeparam name="V">The vector type; a bare <c>Vector512&lt;float&gt;</c> and so on, never a wrapper.</typeparam>
internal unsafe interface ISimd<V>
    where V : struct
{
    /// <summary>Floats in a vector.</summary>
    static abstract int Width { get; }

    static abstract V Zero { get; }

    /// <summary>0, 1, 2, … across the lanes.</summary>
    static abstract V Iota { get; }

    static abstract V Create(float value);

    static abstract V Load(float* source);

    /// <summary>The first <paramref name="lanes"/> (1 … Width) floats; the other lanes are 0 and their memory is not touched.</summary>
    static abstract V Load(float* source, int lanes);

    static abstract void Store(V value, float* destination);

    /// <summary>Stores the first <paramref name="lanes"/> (1 … Width) lanes and touches no other memory.</summary>
    static abstract void Store(V value, float* destination, int lanes);

    static abstract V Add(V a, V b);

    static abstract V Subtract(V a, V b);

    static abstract V Multiply(V a, V b);

    static abstract V Divide(V a, V b);

    /// <summary>a·b + c, fused where the hardware can.</summary>
    static abstract V MultiplyAdd(V a, V b, V c);

    /// <summary>One instruction. A NaN in <paramref name="b"/> comes back; one in <paramref name="a"/> may be lost.</summary>
    static abstract V Max(V a, V b);

    /// <summary>One instruction. A NaN in <paramref name="b"/> comes back; one in <paramref name="a"/> may be lost.</summary>
    static abstract V Min(V a, V b);

    static abstract V Abs(V a);

    static abstract V Negate(V a);

    static abstract V Sqrt(V a);

    /// <summary>The first lane.</summary>
    static abstract float First(V a);

    static abstract float Sum(V a);

    /// <summary>The sums of four vectors, side by side: cheaper than four of <see cref="Sum"/>.</summary>
    static abstract Vector128<float> SumEach(V a, V b, V c, V d);

    static abstract float MaxAcross(V a);

    /// <summary>All bits set in the lanes where a ≥ b.</summary>
    static abstract V GreaterOrEqual(V a, V b);

    /// <summary>Lane by lane: <paramref name="ifSet"/> where the mask's bits are set, otherwise <paramref name="ifClear"/>.</summary>
    static abstract V Select(V mask, V ifSet, V ifClear);

    /// <summary>The nearest whole number, halves to even.</summary>
    static abstract V Round(V a);

    /// <summary>a · 2^n for whole n in −250 … 250, subnormal results and overflow to infinity included.</summary>
    static abstract V Scale(V a, V n);

    /// <summary>2^x to 1e-7 relative; 0 below −126, for −∞ and masked scores alike; NaN stays NaN. x ≤ 127.</summary>
    static abstract V Exp2(V x);
}
