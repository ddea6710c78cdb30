using GatedFwa.Attention;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>The error must not grow with the length of the text: a global float32 prefix sum is 2e-2 off at a million tokens.</summary>
public abstract class GatedWindowLongTextSuite(TestBackend backend) : TensorTest(backend)
{
    private const int Tokens = 1 << 20, Window = 100, HeadSize = 8;

    [Fact]
    public void The_last_window_of_a_million_tokens_is_as_exact_as_the_first()
    {
        // Uniform, because a normal number costs a logarithm and a cosine and there are 33 million.
        float[] Numbers(ulong seed) => Backend.Round(Samples.Uniform((long)Tokens * HeadSize, seed, -2, 2));
        var text = new AttentionCase
        {
            Backend = Backend,
            Shape = new GatedWindowShape(1, Tokens, Tokens, 1, 1, HeadSize),
            Options = new AttentionOptions { Window = Window },
            Q = Numbers(1),
            K = Numbers(2),
            V = Numbers(3),
            Alpha = Samples.Uniform(Tokens, 4, 0, 0.5f),
            OutputGradient = Numbers(5),
        };
        AttentionResult result = text.Run();

        // All that the last window depends on, forward and backward, are the two windows before the end.
        const int queries = 2 * Window, positions = 3 * Window;
        double[] Last(float[] values, int count) => Samples.Widen(values.AsSpan(values.Length - count));
        var shape = new GatedWindowShape(1, queries, positions, 1, 1, HeadSize);
        double[] q = Last(text.Q, queries * HeadSize), k = Last(text.K, positions * HeadSize), v = Last(text.V, positions * HeadSize), alpha = Last(text.Alpha, positions);
        (double[] o, double[] lse) = GatedWindowReference.Forward(q, k, v, alpha, shape, text.Options);
        (double[] dq, double[] dk, double[] dv, double[] dalpha) =
            GatedWindowReference.Backward(q, k, v, alpha, Last(text.OutputGradient, queries * HeadSize), shape, text.Options);

        Require(result.O, o, HeadSize, Backend.Forward(AttentionCase.ForwardTolerance));
        Require(result.Lse, lse, 1, Backend.Forward(AttentionCase.ForwardTolerance));
        Require(result.Dq, dq, HeadSize, Backend.Gradient(AttentionCase.BackwardTolerance));
        Require(result.Dk, dk, HeadSize, Backend.Gradient(AttentionCase.BackwardTolerance));
        Require(result.Dv, dv, HeadSize, Backend.Gradient(AttentionCase.BackwardTolerance));
        Require(result.Dalpha, dalpha, 1, Backend.Gradient(AttentionCase.BackwardTolerance));

        static void Require(float[] actual, double[] expected, int width, double tolerance) =>
            ErrorNorm.Require(actual[^(Window * width)..], expected[^(Window * width)..], tolerance);
    }
}

public sealed class GatedWindowLongTextTests() : GatedWindowLongTextSuite(TestBackend.Cpu);

public sealed class GatedWindowLongTextCudaTests() : GatedWindowLongTextSuite(TestBackend.CudaFloat32);

public sealed class GatedWindowLongTextCudaBFloat16Tests() : GatedWindowLongTextSuite(TestBackend.CudaBFloat16);
