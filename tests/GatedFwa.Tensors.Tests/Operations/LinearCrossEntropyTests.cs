using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class LinearCrossEntropyTests() : LinearCrossEntropySuite(TestBackend.Cpu)
{
    private readonly int _threads = WorkerPool.Shared.Threads;

    protected override void Cleanup() => WorkerPool.Shared.Threads = _threads;

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        const int Tokens = 5, Vocabulary = 7, Width = 4;
        double[] x = Samples.Widen(Samples.Normal(Tokens * Width, 1)), weight = Samples.Widen(Samples.Normal(Vocabulary * Width, 2));
        int[] targets = Targets(Tokens, Vocabulary);
        double Loss() => 3 * LinearCrossEntropyReference.Forward(x, weight, targets, Vocabulary, Width).Loss;
        (double[] dx, double[] dweight) = LinearCrossEntropyReference.Backward(x, weight, targets, 3, Vocabulary, Width);
        Assert.InRange(GradientCheck.WorstDeviation(x, Loss, dx), 0, 1e-8);
        Assert.InRange(GradientCheck.WorstDeviation(weight, Loss, dweight), 0, 1e-8);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_logits_of_the_batch_never_exist_at_once(bool recording)
    {
        const int Tokens = 16_384, Vocabulary = 1000, Width = 8;
        using var tape = new Tape(recording);
        Tensor x = tape.Watch(tape.Own(Tensor.From(Samples.Normal(Tokens * Width, 1), [Tokens, Width])));
        Tensor weight = tape.Watch(tape.Own(Tensor.From(Samples.Normal(Vocabulary * Width, 2), [Vocabulary, Width])));
        Tensor targets = tape.Own(Tensor.From(Targets(Tokens, Vocabulary), [Tokens]));
        DeviceMemory.ResetPeak(Device.Cpu);
        long before = DeviceMemory.Statistics(Device.Cpu).PeakBytes;
        Tensor loss = LinearCrossEntropy.Apply(tape, x, weight, targets);
        if (recording) tape.Backward(loss);
        long peakBytes = DeviceMemory.Statistics(Device.Cpu).PeakBytes - before, logitsBytes = (long)Tokens * Vocabulary * sizeof(float);
        Assert.InRange(peakBytes, 1, logitsBytes / 10);
    }

    [Fact]
    public void Any_number_of_threads_gives_the_same_bits()
    {
        float[][] expected = Run(threads: 1);
        for (int threads = 2; threads <= 3; threads++)
        {
            float[][] actual = Run(threads);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i]);
        }
    }

    [Theory]
    [InlineData(32_768, 50_304, 8192)] // four chunks of a large vocabulary
    [InlineData(32_768, 257, 16_384)]
    [InlineData(100, 50_304, 100)]
    [InlineData(10_700, 50_304, 5376)] // two of nearly one size
    public void The_logits_of_a_GPU_come_in_even_chunks(int tokens, int vocabulary, int expected) =>
        Assert.Equal(expected, LinearCrossEntropyCuda.ChunkTokens(tokens, vocabulary));

    private static float[][] Run(int threads)
    {
        const int Tokens = 600, Vocabulary = 300, Width = 70;
        WorkerPool.Shared.Threads = threads;
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Tensor.From(Samples.Normal(Tokens * Width, 1), [Tokens, Width])));
        Tensor weight = tape.Watch(tape.Own(Tensor.From(Samples.Normal(Vocabulary * Width, 2), [Vocabulary, Width])));
        Tensor loss = LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From(Targets(Tokens, Vocabulary), [Tokens])));
        tape.Backward(loss);
        return [loss.ToArray(), tape.Gradient(x)!.ToArray(), tape.Gradient(weight)!.ToArray()];
    }
}

public sealed class LinearCrossEntropyCudaTests() : LinearCrossEntropyGpuSuite(TestBackend.CudaFloat32);

public sealed class LinearCrossEntropyCudaBFloat16Tests() : LinearCrossEntropyGpuSuite(TestBackend.CudaBFloat16);

public sealed class LinearCrossEntropyCudaFloat16Tests() : LinearCrossEntropyGpuSuite(TestBackend.CudaFloat16);

public abstract class LinearCrossEntropyGpuSuite(TestBackend backend) : LinearCrossEntropySuite(backend)
{
    [Fact]
    public void A_target_beyond_the_vocabulary_makes_the_loss_no_number_and_teaches_nothing()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation(Samples.Normal(8, 1), [2, 4]))), weight = tape.Own(Backend.Parameter(Samples.Normal(20, 2), [5, 4]));
        Tensor loss = LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From([1, int.MaxValue], [2], Backend.Device)));
        Assert.True(float.IsNaN(loss.Item()));
        tape.Backward(loss);
        float[] gradient = tape.Gradient(x)!.ToArray();
        Assert.All(gradient[..4], value => Assert.NotEqual(0, value));
        Assert.Equal(new float[4], gradient[4..]);
    }

    [Fact]
    public void A_row_that_no_block_can_keep_is_read_twice()
    {
        // In any type more than the shared memory of any GPU.
        Follows_the_reference_in_both_directions(3, 130_001, 4);
    }
}

public abstract class LinearCrossEntropySuite(TestBackend backend) : TensorTest(backend)
{
    [Theory]
    [InlineData(1, 2, 1)]
    [InlineData(7, 33, 20)]
    [InlineData(60, 257, 48)]
    [InlineData(700, 65, 24)] // two chunks on the CPU
    [InlineData(5, 9000, 8)] // a sum in several parts
    public void Follows_the_reference_in_both_directions(int tokens, int vocabulary, int width)
    {
        float[] x = Backend.Round(Samples.Normal(tokens * width, 1)), weight = Backend.Round(Samples.Normal(vocabulary * width, 2, 0.5f));
        int[] targets = Targets(tokens, vocabulary);
        const float Upstream = 2.5f;
        using var tape = new Tape();
        Tensor tx = tape.Watch(tape.Own(Backend.Activation(x, [1, tokens, width]))), tw = tape.Watch(tape.Own(Backend.Parameter(weight, [vocabulary, width])));
        Tensor perToken = tape.Own(Tensor.Empty([1, tokens], device: Backend.Device));
        Tensor loss = LinearCrossEntropy.Apply(tape, tx, tw, tape.Own(Tensor.From(targets, [1, tokens], Backend.Device)), perToken);

        double[] wideX = Samples.Widen(x), wideW = Samples.Widen(weight);
        (double expected, double[] expectedPerToken) = LinearCrossEntropyReference.Forward(wideX, wideW, targets, vocabulary, width);
        Assert.Equal<Shape>([], loss.Shape);
        Assert.InRange(ErrorNorm.Relative([loss.Item()], [expected]), 0, Backend.Forward(3e-6));
        Assert.InRange(ErrorNorm.Relative(perToken.ToArray(), expectedPerToken), 0, Backend.Forward(3e-6));

        tape.Backward(loss, Upstream);
        (double[] dx, double[] dweight) = LinearCrossEntropyReference.Backward(wideX, wideW, targets, Upstream, vocabulary, width);
        Assert.InRange(ErrorNorm.Relative(tape.Gradient(tx)!.ToArray(), dx), 0, Backend.Gradient(1e-5));
        Assert.InRange(ErrorNorm.Relative(tape.Gradient(tw)!.ToArray(), dweight), 0, Backend.Gradient(1e-5));
    }

    [Theory]
    [InlineData(1, 2, 1, true)]
    [InlineData(60, 257, 48, true)]
    [InlineData(700, 65, 24, false)] // two chunks on the CPU
    [InlineData(9, 9000, 8, false)]
    public void The_accuracy_is_the_share_of_largest_logits(int tokens, int vocabulary, int width, bool learns)
    {
        float[] x = Backend.Round(Samples.Normal(tokens * width, 1)), weight = Backend.Round(Samples.Normal(vocabulary * width, 2, 0.5f));
        using var tape = new Tape(recording: learns);
        Tensor tx = tape.Own(Backend.Activation(x, [tokens, width])), tw = tape.Own(Backend.Parameter(weight, [vocabulary, width]));
        float[] logits = Linear.Apply(tape, tx, tw).ToArray(); // In the type in which the kernel sees them, ties and all.
        int[] best = [.. logits.Chunk(vocabulary).Select(row => row.IndexOf(row.Max()))];
        // Every third is a hit, every fifth (of Targets) ignored.
        int[] targets = [.. Targets(tokens, vocabulary).Select((target, i) => target < 0 || i % 3 != 0 ? target : best[i])];
        if (learns) tape.Watch(tx);
        Tensor accuracy = tape.Own(Tensor.Empty([], device: Backend.Device));
        LinearCrossEntropy.Apply(tape, tx, tw, tape.Own(Tensor.From(targets, [tokens], Backend.Device)), accuracy: accuracy);
        int[] counted = [.. Enumerable.Range(0, tokens).Where(i => targets[i] >= 0)];
        Assert.Equal(counted.Count(i => targets[i] == best[i]) / (double)counted.Length, accuracy.Item(), 1e-6);
    }

    [Fact]
    public void Of_equal_logits_the_first_is_the_answer()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation([1f, 1f, 1f, 1f], [4, 1]))), accuracy = tape.Own(Tensor.Empty([], device: Backend.Device));
        Tensor weight = tape.Own(Backend.Parameter([1f, 2f, 2f, 0f, 2f], [5, 1]));
        float Accuracy(params int[] targets)
        {
            LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From(targets, [4], Backend.Device)), accuracy: accuracy);
            return accuracy.Item();
        }

        Assert.Equal(0.25f, Accuracy(0, 1, 2, 4));
        Assert.Equal(0.5f, Accuracy(-1, 1, 4, -1));
        Assert.Equal(0, Accuracy(-1, -1, -1, -1));
    }

    [Fact]
    public void Gives_the_same_bits_again() => Repeatability.Check(() => Differentiated.Run(
        Backend,
        [1.5f],
        (tape, inputs) => LinearCrossEntropy.Apply(tape, inputs[0], inputs[1], tape.Own(Tensor.From(Targets(140, 300), [140], Backend.Device))),
        (Backend.Round(Samples.Normal(140 * 40, 1)), [140, 40]),
        Operand.Parameter(Samples.Normal(300 * 40, 2), [300, 40])));

    [Fact]
    public void Huge_logits_do_not_overflow()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation([8192f], [1, 1]))), weight = tape.Own(Backend.Parameter([1f, 0.5f, -1f], [3, 1]));
        Tensor loss = LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From([1], [1], Backend.Device)));
        Assert.Equal(4096, loss.Item());
        tape.Backward(loss);
        Assert.Equal(0.5f, tape.Gradient(x)!.Item());
    }

    [Fact]
    public void Ignored_targets_neither_count_nor_learn()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Backend.Activation(Samples.Normal(8, 1), [2, 4]))), weight = tape.Watch(tape.Own(Backend.Parameter(Samples.Normal(12, 2), [3, 4])));
        Tensor perToken = tape.Own(Tensor.Empty([2], device: Backend.Device));
        Tensor loss = LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From([-1, -7], [2], Backend.Device)), perToken);
        Assert.Equal(0, loss.Item());
        Assert.Equal([0f, 0f], perToken.ToArray());
        tape.Backward(loss);
        Assert.Equal(new float[8], tape.Gradient(x)!.ToArray());
        Assert.Equal(new float[12], tape.Gradient(weight)!.ToArray());
    }

    [Fact]
    public void Adds_to_the_gradients_that_are_there()
    {
        using var weight = new Parameter("weight", Backend.Parameter(Samples.Normal(12, 2), [3, 4]));
        float[] once = [], twice = [];
        for (int pass = 0; pass < 2; pass++)
        {
            using var tape = new Tape();
            tape.Backward(
                LinearCrossEntropy.Apply(
                    tape,
                    tape.Own(Backend.Activation(Samples.Normal(8, 1), [2, 4])),
                    weight,
                    tape.Own(Tensor.From([0, 2], [2], Backend.Device))));
            (once, twice) = (twice, weight.Gradient.ToArray());
        }

        Assert.Equal(once.Select(value => 2 * value), twice);
        Assert.Contains(once, value => value != 0);
    }

    [Fact]
    public void Refuses_a_target_of_the_host_that_is_beyond_the_vocabulary()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[6], [2, 3])), weight = tape.Own(Backend.Parameter(new float[15], [5, 3]));
        Assert.Equal(
            "LinearCrossEntropy expects targets below the vocabulary of 5, but got 5.",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From([0, 5], [2])))).Message);
        Assert.Equal(Math.Log(5), LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From([0, 4], [2]))).Item(), 5);
    }

    [Fact]
    public void Refuses_what_does_not_fit()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Backend.Activation(new float[6], [2, 3])), weight = tape.Own(Backend.Parameter(new float[15], [5, 3])), targets = tape.Own(Tensor.From([0, 4], [2], Backend.Device));
        Assert.Contains(
            "2 I32 targets",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Tensor.From([0], [1], Backend.Device)))).Message);
        Assert.Contains(
            "2 I32 targets",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, weight, tape.Own(Backend.Parameter(new float[2], [2])))).Message);
        Assert.Contains(
            "features [..., 4]",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, tape.Own(Backend.Parameter(new float[20], [5, 4])), targets)).Message);
        Assert.Contains(
            "[vocabulary, width]",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, tape.Own(Backend.Parameter(new float[3], [3])), targets)).Message);
        Assert.Contains(
            "losses of 2 tokens",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, weight, targets, tape.Own(Backend.Parameter(new float[3], [3])))).Message);
        Assert.Contains(
            "one number, the accuracy",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, x, weight, targets, accuracy: tape.Own(Backend.Parameter(new float[2], [2])))).Message);
        Assert.Contains(
            "F32",
            Assert.Throws<OperandException>(() => LinearCrossEntropy.Apply(tape, tape.Own(Tensor.Zeros([2, 3], DType.I32, Backend.Device)), weight, targets)).Message);
    }

    /// <summary>All over the vocabulary, its last entry among them; every fifth ignored, but not the first.</summary>
    protected static int[] Targets(int tokens, int vocabulary) =>
        [.. Enumerable.Range(0, tokens).Select(token => token % 5 == 4 ? -1 : (vocabulary - 1 + (token * 37)) % vocabulary)];
}
