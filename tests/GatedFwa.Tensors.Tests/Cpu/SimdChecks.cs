using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Cpu;

/// <summary>One check for each member of <see cref="ISimd{V}"/>.</summary>
internal static unsafe class SimdChecks<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    private static readonly float[] Values =
        [0, -0f, 1, -1, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 3.7f, -3.7f, 1e-30f, -1e30f, 1e30f, float.MaxValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN];

    private static readonly float[] Finite = [.. Values.Where(float.IsFinite)];

    public static Dictionary<string, Action> ByMember { get; } = new()
    {
        ["Width"] = () => Assert.Equal(Unsafe.SizeOf<V>() / sizeof(float), S.Width),
        ["Zero"] = () => Assert.Equal(new float[S.Width], Lanes(S.Zero)),
        ["Iota"] = () => Assert.Equal(Enumerable.Range(0, S.Width).Select(i => (float)i), Lanes(S.Iota)),
        ["Create"] = () => Assert.All(Lanes(S.Create(2.5f)), lane => Assert.Equal(2.5f, lane)),
        ["Load"] = Load,
        ["Store"] = Store,
        ["Add"] = () => Binary(S.Add, (a, b) => a + b),
        ["Subtract"] = () => Binary(S.Subtract, (a, b) => a - b),
        ["Multiply"] = () => Binary(S.Multiply, (a, b) => a * b),
        ["Divide"] = () => Binary(S.Divide, (a, b) => a / b),
        ["MultiplyAdd"] = MultiplyAdd,
        ["Max"] = () => Binary(S.Max, (a, b) => float.IsNaN(a) ? b : MathF.Max(a, b), (a, _) => !float.IsNaN(a), zerosDiffer: false),
        ["Min"] = () => Binary(S.Min, (a, b) => float.IsNaN(a) ? b : MathF.Min(a, b), (a, _) => !float.IsNaN(a), zerosDiffer: false),
        ["Abs"] = () => Unary(S.Abs, MathF.Abs),
        ["Negate"] = () => Unary(S.Negate, a => -a),
        ["Sqrt"] = () => Unary(S.Sqrt, MathF.Sqrt),
        ["First"] = () => Assert.Equal(-0.25f, S.First(S.Subtract(S.Iota, S.Create(0.25f)))),
        ["Sum"] = Sum,
        ["SumEach"] = SumEach,
        ["MaxAcross"] = MaxAcross,
        ["GreaterOrEqual"] = () => Binary((a, b) => S.Select(S.GreaterOrEqual(a, b), S.Create(1), S.Zero), (a, b) => a >= b ? 1 : 0),
        ["Select"] = () => Binary((a, b) => S.Select(S.GreaterOrEqual(a, S.Zero), a, b), (a, b) => a >= 0 ? a : b),
        ["Round"] = () => Unary(S.Round, a => MathF.Round(a, MidpointRounding.ToEven)),
        ["Scale"] = Scale,
        ["Exp2"] = Exp2,
    };

    private static float[] Lanes(V vector)
    {
        var lanes = new float[S.Width];
        fixed (float* target = lanes) S.Store(vector, target);
        return lanes;
    }

    private static float[] Map(Func<V, V, V> operation, float[] a, float[] b)
    {
        var result = new float[a.Length];
        for (int i = 0; i < a.Length; i += S.Width)
        {
            int lanes = Math.Min(S.Width, a.Length - i);
            fixed (float* left = a, right = b, target = result) S.Store(operation(S.Load(left + i, lanes), S.Load(right + i, lanes)), target + i, lanes);
        }

        return result;
    }

    private static void Unary(Func<V, V> operation, Func<float, float> expected)
    {
        float[] actual = Map((a, _) => operation(a), Values, Values);
        for (int i = 0; i < Values.Length; i++) Assert.Equal(expected(Values[i]), actual[i]);
    }

    /// <summary>All pairs of values that <paramref name="isDefined"/> admits.</summary>
    private static void Binary(
        Func<V, V, V> operation, Func<float, float, float> expected, Func<float, float, bool>? isDefined = null, bool zerosDiffer = true)
    {
        (float A, float B)[] pairs = [.. from a in Values from b in Values where isDefined?.Invoke(a, b) ?? true select (a, b)];
        float[] actual = Map(operation, [.. pairs.Select(pair => pair.A)], [.. pairs.Select(pair => pair.B)]);
        for (int i = 0; i < pairs.Length; i++)
        {
            float value = expected(pairs[i].A, pairs[i].B);
            if (zerosDiffer || value != 0) Assert.Equal(value, actual[i]);
            else Assert.True(actual[i] == 0);
        }
    }

    private static void Load()
    {
        float[] source = Samples.Normal(S.Width + 2, 1);
        fixed (float* start = source)
        {
            Assert.Equal(source[1..^1], Lanes(S.Load(start + 1)));
            for (int lanes = 1; lanes <= S.Width; lanes++)
                Assert.Equal([.. source[1..(lanes + 1)], .. new float[S.Width - lanes]], Lanes(S.Load(start + 1, lanes)));
        }
    }

    private static void Store()
    {
        float[] source = Samples.Normal(S.Width, 1);
        for (int lanes = 1; lanes <= S.Width; lanes++)
        {
            var target = new float[S.Width + 2];
            Array.Fill(target, -7);
            fixed (float* from = source, to = target)
            {
                S.Store(S.Load(from), to + 1, lanes);
                if (lanes == S.Width) S.Store(S.Load(from), to + 1);
            }

            Assert.Equal([-7, .. source[..lanes], .. Enumerable.Repeat(-7f, S.Width - lanes + 1)], target);
        }
    }

    /// <summary>Rounded once where the hardware fuses, twice where it cannot.</summary>
    private static void MultiplyAdd() => Binary(
        (a, b) => S.MultiplyAdd(a, b, S.Create(0.1f)),
        (a, b) => S.Width > 4 || Fma.IsSupported || AdvSimd.IsSupported ? MathF.FusedMultiplyAdd(a, b, 0.1f) : (a * b) + 0.1f);

    private static void Sum()
    {
        float[] values = Samples.Normal(S.Width, 1);
        fixed (float* source = values) Assert.Equal(values.Sum(value => (double)value), S.Sum(S.Load(source)), 1e-5);
        for (int lane = 0; lane < S.Width; lane++)
        {
            var one = new float[S.Width];
            one[lane] = 3;
            fixed (float* source = one) Assert.Equal(3, S.Sum(S.Load(source)));
        }
    }

    private static void SumEach()
    {
        V[] vectors = [S.Iota, S.Create(0.5f), S.Negate(S.Iota), S.Multiply(S.Iota, S.Iota)];
        Vector128<float> sums = S.SumEach(vectors[0], vectors[1], vectors[2], vectors[3]);
        for (int i = 0; i < 4; i++) Assert.Equal(Lanes(vectors[i]).Sum(), sums[i]);
    }

    private static void MaxAcross()
    {
        for (int lane = 0; lane < S.Width; lane++)
        {
            var values = new float[S.Width];
            Array.Fill(values, float.NegativeInfinity);
            values[lane] = -3;
            fixed (float* source = values) Assert.Equal(-3, S.MaxAcross(S.Load(source)));
        }
    }

    private static void Scale()
    {
        foreach (float a in new[] { 1f, 1.37f, -0.71f, float.NaN })
        {
            float[] exponents = [.. Enumerable.Range(-160, 160 + 129).Select(n => (float)n)];
            float[] actual = Map((n, _) => S.Scale(S.Create(a), n), exponents, exponents);
            for (int i = 0; i < exponents.Length; i++) Assert.Equal((float)Math.ScaleB(a, (int)exponents[i]), actual[i]);
        }
    }

    private static void Exp2()
    {
        float[] x = [.. Samples.Uniform(5000, 1, -126, 127), 0, -0f, 1, -126, 127, .. Finite.Where(value => Math.Abs(value) < 100)];
        float[] y = Map((a, _) => S.Exp2(a), x, x);
        for (int i = 0; i < x.Length; i++) Assert.InRange(Math.Abs((y[i] / Math.Pow(2, x[i])) - 1), 0, 2e-7);

        float[] masked = [-127.5f, -150, -1000, -1e30f, float.NegativeInfinity];
        Assert.All(Map((a, _) => S.Exp2(a), masked, masked), value => Assert.InRange(value, 0, 1.2e-38f));
        Assert.All(Map((a, _) => S.Exp2(a), masked, masked).Skip(2), value => Assert.Equal(0, value));
        Assert.All(Lanes(S.Exp2(S.Create(float.NaN))), value => Assert.True(float.IsNaN(value)));
    }
}
