using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Training.Tests.Optimizers;

public sealed class AdamWTests : TensorTest
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup() => WorkerPool.Shared.Threads = _threads;

    [Theory]
    [InlineData(1, true)]
    [InlineData(37, false)]
    [InlineData(16 * 1024 + 19, true)]
    [InlineData(50_000, false)]
    public void Follows_the_reference_over_many_steps(int count, bool decays)
    {
        var options = new AdamWOptions { SquareDecay = 0.99f, WeightDecay = 0.2f };
        float[] start = Samples.Normal(count, 1);
        using var parameter = new Parameter("p", Tensor.From(start, [count]), decays);
        using var optimizer = new AdamW([parameter], options);
        double[] value = Samples.Widen(start), mean = new double[count], square = new double[count];
        for (int step = 1; step <= 20; step++)
        {
            float[] gradient = Samples.Normal(count, (ulong)step + 100, scale: 0.01f);
            parameter.Gradient.CopyFrom(gradient);
            optimizer.Step(0.01f, 0.5f);
            AdamWReference.Step(step, options, 0.01f, 0.5, decays, value, Samples.Widen(gradient), mean, square);
        }

        Assert.InRange(ErrorNorm.Relative(parameter.Value.ToArray(), value), 0, 1e-6);
        Assert.InRange(ErrorNorm.Relative(optimizer.Means[0].ToArray(), mean), 0, 1e-6);
        Assert.InRange(ErrorNorm.Relative(optimizer.Squares[0].ToArray(), square), 0, 1e-6);
        Assert.True(ErrorNorm.Relative(start, value) > 1e-3, "Twenty steps must move the parameter.");
    }

    [Fact]
    public void The_reference_takes_the_first_step_of_the_paper()
    {
        // After bias correction the first step is lr · sign(g), and decay takes lr · λ of the value.
        double[] value = [2, -3], mean = new double[2], square = new double[2];
        AdamWReference.Step(1, new AdamWOptions { WeightDecay = 0.1f, Epsilon = 0 }, 0.01, 1, true, value, [5, -0.001], mean, square);
        Assert.Equal(2 - 0.01 - (0.01 * 0.1f * 2), value[0], 12);
        Assert.Equal(-3 + 0.01 + (0.01 * 0.1f * 3), value[1], 12);
    }

    [Fact]
    public void Any_number_of_threads_gives_the_same_bits()
    {
        float[] Run(int threads)
        {
            WorkerPool.Shared.Threads = threads;
            using var parameter = new Parameter("p", Tensor.From(Samples.Normal(100_003, 1), [100_003]));
            using var optimizer = new AdamW([parameter]);
            for (int step = 0; step < 3; step++)
            {
                parameter.Gradient.CopyFrom(Samples.Normal(100_003, 2));
                optimizer.Step(0.01f, GradientNorm.ClipScale(GradientNorm.Of([parameter]), 1));
            }

            return parameter.Value.ToArray();
        }

        float[] one = Run(1);
        Assert.Equal(one, Run(2));
        Assert.Equal(one, Run(3));
    }

    [Fact]
    public void The_norm_is_exact_and_shows_what_is_not_finite()
    {
        float[] a = Samples.Normal(100_003, 1, 1e4f), b = Samples.Normal(7, 2, 1e-4f);
        using var first = new Parameter("a", Tensor.Zeros([100_003]));
        using var second = new Parameter("b", Tensor.Zeros([7]));
        first.Gradient.CopyFrom(a);
        second.Gradient.CopyFrom(b);
        double expected = Math.Sqrt(a.Concat(b).Sum(x => (double)x * x));
        Assert.Equal(1, GradientNorm.Of([first, second]) / expected, 12);
        b[3] = float.NaN;
        second.Gradient.CopyFrom(b);
        Assert.True(double.IsNaN(GradientNorm.Of([first, second])));
    }

    [Theory]
    [InlineData(4, 1, 0.25f)]
    [InlineData(0.5, 1, 1)]
    [InlineData(4, 0, 1)]
    public void Clipping_scales_only_what_is_too_long(double norm, double limit, float scale) =>
        Assert.Equal(scale, GradientNorm.ClipScale(norm, limit));

    [Fact]
    public void The_learning_rate_warms_up_and_falls_along_a_cosine()
    {
        var schedule = new LearningRateSchedule(Peak: 1, Final: 0.1, WarmupSteps: 10, Steps: 110);
        Assert.Equal(0.1f, schedule.At(0));
        Assert.Equal(1f, schedule.At(9));
        Assert.Equal(1f, schedule.At(10));
        Assert.Equal(0.55f, schedule.At(60), 5);
        Assert.InRange(schedule.At(109), 0.1f, 0.101f);
        Assert.All(Enumerable.Range(10, 99), step => Assert.True(schedule.At(step + 1) < schedule.At(step)));
    }
}
