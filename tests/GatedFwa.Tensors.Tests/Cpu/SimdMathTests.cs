using System.Runtime.Intrinsics;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Cpu;

/// <summary>The vector functions against <see cref="Math"/> in double, in every width.</summary>
public sealed class SimdMathTests
{
    public static TheoryData<int> Widths => [4, 8, 16];

    [Theory]
    [MemberData(nameof(Widths))]
    public void Exp_is_exact_to_a_float_over_its_whole_range(int width)
    {
        Check(width, new Exp(), Math.Exp, 2e-7, Samples.Uniform(200_000, 1, -87.3f, 88.7f), Near(0), [0, -0f, 88.72f, -87.33f]);
        float[] edges = Map(width, new Exp(), [-104, -1000, float.NegativeInfinity, 89, 1e30f, float.PositiveInfinity, float.NaN]);
        Assert.Equal([0, 0, 0, float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity, float.NaN], edges);
        // Below e^−87.3 floats are subnormal: exact to their own unit.
        float[] subnormal = Samples.Uniform(1000, 2, -103, -87.3f);
        foreach ((float y, float x) in Map(width, new Exp(), subnormal).Zip(subnormal)) Assert.InRange(y - Math.Exp(x), -2e-45, 2e-45);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Sigmoid_is_exact_to_a_float_on_both_sides(int width)
    {
        Check(width, new Sigmoid(), x => 1 / (1 + Math.Exp(-x)), 3e-7, Samples.Uniform(200_000, 1, -87, 100), Near(0));
        Assert.Equal([0, 1, float.NaN], Map(width, new Sigmoid(), [float.NegativeInfinity, float.PositiveInfinity, float.NaN]));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Softplus_is_exact_to_a_float_from_its_tail_to_its_slope(int width)
    {
        Check(
            width,
            new Softplus(),
            x => Math.Max(x, 0) + Log1p(Math.Exp(-Math.Abs(x))),
            3e-7,
            Samples.Uniform(200_000, 1, -87, 100),
            Near(0),
            [1e4f, 1e30f]);
        Assert.Equal(
            [0, float.PositiveInfinity, float.NaN],
            Map(width, new Softplus(), [float.NegativeInfinity, float.PositiveInfinity, float.NaN]));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Log_of_one_and_a_little_keeps_the_little(int width) =>
        Check(width, new Log1pOfUnit(), Log1p, 3e-7, Samples.Uniform(100_000, 1), [.. Near(0).Select(MathF.Abs)], [1]);

    // Math has no log1p: for a small z the series is the exact one.
    private static double Log1p(double z) => z < 1e-4 ? z * (1 - (z / 2) + (z * z / 3)) : Math.Log(1 + z);

    /// <summary>Numbers of every magnitude down to 1e-35 around a centre.</summary>
    private static float[] Near(float centre) =>
        [.. Enumerable.Range(-35, 35).SelectMany(e => new[] { centre + MathF.Pow(10, e), centre - (3 * MathF.Pow(10, e)) })];

    private static void Check(int width, IFunction function, Func<double, double> expected, double tolerance, params float[][] inputs)
    {
        float[] x = [.. inputs.SelectMany(values => values)], y = Map(width, function, x);
        double worst = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double error = Math.Abs((y[i] / expected(x[i])) - 1);
            worst = double.IsNaN(error) ? double.PositiveInfinity : Math.Max(worst, error);
        }

        Assert.InRange(worst, 0, tolerance);
    }

    private static float[] Map(int width, IFunction function, float[] x)
    {
        Assert.SkipUnless(width <= Simd.Width, $"This process has vectors of {Simd.Width} floats.");
        return width switch
        {
            16 => Map<Vector512<float>, Simd512>(function, x),
            8 => Map<Vector256<float>, Simd256>(function, x),
            _ => Map<Vector128<float>, Simd128>(function, x),
        };
    }

    private static unsafe float[] Map<V, S>(IFunction function, float[] x)
        where V : struct
        where S : struct, ISimd<V>
    {
        var y = new float[x.Length];
        fixed (float* source = x, target = y)
        {
            for (int i = 0; i < x.Length; i += S.Width)
            {
                int lanes = Math.Min(S.Width, x.Length - i);
                S.Store(function.Apply<V, S>(S.Load(source + i, lanes)), target + i, lanes);
            }
        }

        return y;
    }

    /// <summary>A generic method as a value.</summary>
    private interface IFunction
    {
        V Apply<V, S>(V x)
            where V : struct
            where S : struct, ISimd<V>;
    }

    private sealed class Exp : IFunction
    {
        V IFunction.Apply<V, S>(V x) => SimdMath<V, S>.Exp(x);
    }

    private sealed class Sigmoid : IFunction
    {
        V IFunction.Apply<V, S>(V x) => SimdMath<V, S>.Sigmoid(x);
    }

    private sealed class Softplus : IFunction
    {
        V IFunction.Apply<V, S>(V x) => SimdMath<V, S>.Softplus(x);
    }

    private sealed class Log1pOfUnit : IFunction
    {
        V IFunction.Apply<V, S>(V x) => SimdMath<V, S>.Log1pOfUnit(x);
    }
}
