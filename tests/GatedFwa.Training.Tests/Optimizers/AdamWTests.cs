using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Training.Tests.Optimizers;

public sealed class AdamWTests() : AdamWSuite(TestBackend.Cpu)
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup() => WorkerPool.Shared.Threads = _threads;

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

public sealed class AdamWCudaTests() : AdamWGpuSuite(TestBackend.CudaFloat32);

public sealed class AdamWCudaBFloat16Tests() : AdamWGpuSuite(TestBackend.CudaBFloat16);

public sealed class AdamWCudaFloat16Tests() : AdamWGpuSuite(TestBackend.CudaFloat16);

public abstract class AdamWGpuSuite(TestBackend backend) : AdamWSuite(backend)
{
    [Fact]
    public void A_step_writes_the_copies_that_products_read()
    {
        using var parameter = new Parameter("p", Backend.Parameter(Samples.Normal(5003, 1), [5003]));
        using var unread = new Parameter("q", Backend.Parameter(Samples.Normal(11, 2), [11]));
        using var optimizer = new AdamW([parameter, unread]);
        parameter.Gradient.CopyFrom(Samples.Normal(5003, 3));
        Tensor copy = parameter.Value.As(Backend.Activations);
        optimizer.Step(0.05f);
        Assert.Same(copy, parameter.Value.As(Backend.Activations));
        Assert.Equal(Backend.Round(parameter.Value.ToArray()), copy.ToArray());
        Assert.Equal(Backend.Round(unread.Value.ToArray()), unread.Value.As(Backend.Activations).ToArray());
    }

    [Theory]
    [InlineData(3f, true)]
    [InlineData(float.NaN, false)]
    [InlineData(float.PositiveInfinity, false)]
    public void A_loss_or_a_norm_that_is_no_number_changes_nothing(float loss, bool gradientIsFinite)
    {
        foreach (bool lossIsTheReason in new[] { true, false })
        {
            float[] start = Samples.Normal(300, 1), gradient = Samples.Normal(300, 2);
            bool isTaken = float.IsFinite(loss) && (lossIsTheReason || gradientIsFinite);
            if (!lossIsTheReason && !gradientIsFinite) gradient[299] = loss;
            using var parameter = new Parameter("p", Backend.Parameter(start, [300]));
            using var optimizer = new AdamW([parameter]);
            Tensor copy = parameter.Value.As(Backend.Activations);
            parameter.Gradient.CopyFrom(gradient);
            using ParameterUpdate update = ParameterUpdate.For(optimizer, clipNorm: 1, batches: 2, lossScale: 4);
            using (Tensor first = Tensor.From([1f], [], Backend.Device)) update.Gather(0, first);
            using (Tensor second = Tensor.From([lossIsTheReason ? loss : 3f], [], Backend.Device)) update.Gather(1, second);
            StepVerdict verdict = update.Take(0.01f)();
            Assert.Equal(isTaken, verdict.IsTaken);
            Assert.Equal(Backend.Round(parameter.Value.ToArray()), copy.ToArray());
            if (!isTaken)
            {
                Assert.Equal(start, parameter.Value.ToArray());
                Assert.Equal(new float[300], optimizer.Means[0].ToArray());
                Assert.Equal(new float[300], optimizer.Squares[0].ToArray());
                continue;
            }

            double norm = Math.Sqrt(gradient.Sum(x => (double)x * x)) / 4;
            Assert.Equal(2, verdict.Loss);
            Assert.Equal(1, verdict.Norm / norm, 12);
            Assert.Equal(1 / norm / 4, verdict.GradientScale, 6);
            double[] value = Samples.Widen(start);
            AdamWReference.Step(1, new AdamWOptions(), 0.01f, verdict.GradientScale, true, value, Samples.Widen(gradient), new double[300], new double[300]);
            Assert.InRange(ErrorNorm.Relative(parameter.Value.ToArray(), value), 0, 1e-6);
        }
    }
}

public abstract class AdamWSuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, true)]
    [InlineData(37, false)]
    [InlineData(16 * 1024 + 19, true)]
    [InlineData(50_000, false)]
    public void Follows_the_reference_over_many_steps(int count, bool decays)
    {
        var options = new AdamWOptions { SquareDecay = 0.99f, WeightDecay = 0.2f };
        float[] start = Samples.Normal(count, 1);
        using var parameter = new Parameter("p", Backend.Parameter(start, [count]), decays);
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
    public void The_norm_is_exact_and_shows_what_is_not_finite()
    {
        float[] a = Samples.Normal(100_003, 1, 1e4f), b = Samples.Normal(7, 2, 1e-4f);
        using var first = new Parameter("a", Backend.Parameter(new float[100_003], [100_003]));
        using var second = new Parameter("b", Backend.Parameter(new float[7], [7]));
        first.Gradient.CopyFrom(a);
        second.Gradient.CopyFrom(b);
        double expected = Math.Sqrt(a.Concat(b).Sum(x => (double)x * x));
        Assert.Equal(1, GradientNorm.Of([first, second]) / expected, 12);
        b[3] = float.NaN;
        second.Gradient.CopyFrom(b);
        Assert.True(double.IsNaN(GradientNorm.Of([first, second])));
    }

    [Fact]
    public void A_gradient_that_was_cleared_is_that_of_the_next_pass_alone()
    {
        using LanguageModel used = Model(), fresh = Model();
        using var optimizer = new AdamW(used.Parameters);
        AddGradients(used, 5);
        optimizer.ClearGradients();
        AddGradients(used, 6);
        AddGradients(fresh, 6);
        foreach ((Parameter one, Parameter other) in used.Parameters.Zip(fresh.Parameters))
            Assert.Equal(other.Gradient.ToArray(), one.Gradient.ToArray());
    }

    [Fact]
    public void A_parameter_clears_its_gradient_before_anybody_has_read_it()
    {
        using LanguageModel model = Model();
        AddGradients(model, 5);
        foreach (Parameter parameter in model.Parameters) parameter.ClearGradient();
        Assert.All(model.Parameters, parameter => Assert.Equal(new float[parameter.Value.Count], parameter.Gradient.ToArray()));
    }

    [Fact]
    public void Clearing_clears_every_gradient()
    {
        int[] counts = [1, 7, 4096, 4097, 20_000];
        Parameter[] parameters = [.. counts.Select(count => new Parameter($"p{count}", Backend.Parameter(new float[count], [count])))];
        using var optimizer = new AdamW(parameters);
        foreach (Parameter parameter in parameters) parameter.Gradient.CopyFrom(Samples.Normal(parameter.Value.Count, 1));
        optimizer.ClearGradients();
        foreach (Parameter parameter in parameters)
        {
            Assert.Equal(new float[parameter.Value.Count], parameter.Gradient.ToArray());
            parameter.Dispose();
        }
    }

    private LanguageModel Model()
    {
        ModelConfig config = new() { VocabularySize = 37, Layers = 2, Width = 32, Heads = 4, Window = 7, FeedForwardWidth = 48 };
        return new LanguageModel(config, 1, Backend.Device, Backend.Activations);
    }

    private static void AddGradients(LanguageModel model, ulong seed)
    {
        using var tape = new Tape();
        int[] tokens = [.. Enumerable.Range(0, 40).Select(i => (int)new CounterRandom(seed).Below(i, 37))];
        Tensor text = tape.Own(Tensor.From(tokens, [2, 20], model.Device));
        tape.Backward(model.Loss(tape, text, text));
    }
}
