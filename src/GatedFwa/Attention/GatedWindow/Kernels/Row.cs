using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>N vectors side by side: what a micro-kernel holds of one row, in registers.</summary>
/// <remarks>Four fields are the most that the JIT splits into registers; a kernel holds six such rows, 24 accumulators.</remarks>
/// <typeparam name="V">The vector.</typeparam>
/// <typeparam name="S">Its instructions.</typeparam>
/// <typeparam name="N">How many vectors are in use, 1 … 4.</typeparam>
internal unsafe struct Row<V, S, N>
    where V : struct
    where S : struct, ISimd<V>
    where N : struct, ICount
{
    private V _a, _b, _c, _d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row<V, S, N> Load(float* source)
    {
        Row<V, S, N> row = default;
        row._a = S.Load(source);
        if (N.Value > 1) row._b = S.Load(source + S.Width);
        if (N.Value > 2) row._c = S.Load(source + (2 * S.Width));
        if (N.Value > 3) row._d = S.Load(source + (3 * S.Width));
        return row;
    }

    /// <summary>The positions of the elements: 0, 1, 2, …</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Row<V, S, N> Indices()
    {
        Row<V, S, N> row = default;
        row._a = S.Iota;
        if (N.Value > 1) row._b = S.Add(S.Iota, S.Create(S.Width));
        if (N.Value > 2) row._c = S.Add(S.Iota, S.Create(2 * S.Width));
        if (N.Value > 3) row._d = S.Add(S.Iota, S.Create(3 * S.Width));
        return row;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Store(float* destination)
    {
        S.Store(_a, destination);
        if (N.Value > 1) S.Store(_b, destination + S.Width);
        if (N.Value > 2) S.Store(_c, destination + (2 * S.Width));
        if (N.Value > 3) S.Store(_d, destination + (3 * S.Width));
    }

    /// <summary>this + x · <paramref name="other"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> MultiplyAdd(V x, Row<V, S, N> other)
    {
        Row<V, S, N> row = default;
        row._a = S.MultiplyAdd(x, other._a, _a);
        if (N.Value > 1) row._b = S.MultiplyAdd(x, other._b, _b);
        if (N.Value > 2) row._c = S.MultiplyAdd(x, other._c, _c);
        if (N.Value > 3) row._d = S.MultiplyAdd(x, other._d, _d);
        return row;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> Add(Row<V, S, N> other)
    {
        Row<V, S, N> row = default;
        row._a = S.Add(_a, other._a);
        if (N.Value > 1) row._b = S.Add(_b, other._b);
        if (N.Value > 2) row._c = S.Add(_c, other._c);
        if (N.Value > 3) row._d = S.Add(_d, other._d);
        return row;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> Subtract(V x)
    {
        Row<V, S, N> row = default;
        row._a = S.Subtract(_a, x);
        if (N.Value > 1) row._b = S.Subtract(_b, x);
        if (N.Value > 2) row._c = S.Subtract(_c, x);
        if (N.Value > 3) row._d = S.Subtract(_d, x);
        return row;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> Multiply(V x)
    {
        Row<V, S, N> row = default;
        row._a = S.Multiply(_a, x);
        if (N.Value > 1) row._b = S.Multiply(_b, x);
        if (N.Value > 2) row._c = S.Multiply(_c, x);
        if (N.Value > 3) row._d = S.Multiply(_d, x);
        return row;
    }

    /// <summary>Element by element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> Multiply(Row<V, S, N> other)
    {
        Row<V, S, N> row = default;
        row._a = S.Multiply(_a, other._a);
        if (N.Value > 1) row._b = S.Multiply(_b, other._b);
        if (N.Value > 2) row._c = S.Multiply(_c, other._c);
        if (N.Value > 3) row._d = S.Multiply(_d, other._d);
        return row;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> Exp2()
    {
        Row<V, S, N> row = default;
        row._a = S.Exp2(_a);
        if (N.Value > 1) row._b = S.Exp2(_b);
        if (N.Value > 2) row._c = S.Exp2(_c);
        if (N.Value > 3) row._d = S.Exp2(_d);
        return row;
    }

    /// <summary>This row where <paramref name="index"/> lies in <paramref name="first"/> … <paramref name="last"/>, −∞ elsewhere.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Row<V, S, N> Within(Row<V, S, N> index, float first, float last)
    {
        V low = S.Create(first), high = S.Create(last);
        Row<V, S, N> row = default;
        row._a = Within(_a, index._a, low, high);
        if (N.Value > 1) row._b = Within(_b, index._b, low, high);
        if (N.Value > 2) row._c = Within(_c, index._c, low, high);
        if (N.Value > 3) row._d = Within(_d, index._d, low, high);
        return row;
    }

    /// <summary>The largest element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Max()
    {
        V max = _a;
        if (N.Value > 1) max = S.Max(max, _b);
        if (N.Value > 2) max = S.Max(max, N.Value > 3 ? S.Max(_c, _d) : _c);
        return S.MaxAcross(max);
    }

    /// <summary>The sum of the vectors, lane by lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly V Sum()
    {
        V sum = _a;
        if (N.Value > 1) sum = S.Add(sum, _b);
        if (N.Value > 2) sum = S.Add(sum, N.Value > 3 ? S.Add(_c, _d) : _c);
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Within(V value, V index, V low, V high)
    {
        V hidden = S.Create(float.NegativeInfinity);
        return S.Select(S.GreaterOrEqual(index, low), S.Select(S.GreaterOrEqual(high, index), value, hidden), hidden);
    }
}
