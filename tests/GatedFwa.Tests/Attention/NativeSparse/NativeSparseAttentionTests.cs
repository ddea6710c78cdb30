using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>The reference's derivative, and what the door refuses.</summary>
public sealed class NativeSparseAttentionTests : TensorTest
{
    private static readonly GatedWindowShape Extents = new(1, 19, 22, 4, 2, 8);
    private static readonly NativeSparseOptions Options = new() { Window = 5, BlockSize = 3, BlockCount = 4 };

    [Fact]
    public void The_reference_gradient_is_the_derivative()
    {
        NativeSparseCase c = NativeSparseCase.Random(Extents, Options);
        NativeSparseInputs inputs = c.Doubles();
        double[] dO = Samples.Widen(c.OutputGradient);
        // The choice stays: no gradient flows through it.
        (_, int[] indices) = NativeSparseReference.Forward(inputs, Extents, Options);
        double Loss() => NativeSparseReference.Forward(inputs, Extents, Options, indices).O.Zip(dO, (o, g) => o * g).Sum();
        NativeSparseInputs gradients = NativeSparseReference.Backward(inputs, indices, dO, Extents, Options);
        foreach ((double[] input, double[] gradient) in new[]
        {
            (inputs.Q, gradients.Q), (inputs.K, gradients.K), (inputs.V, gradients.V), (inputs.Alpha!, gradients.Alpha!),
            (inputs.Compressed, gradients.Compressed), (inputs.Selected, gradients.Selected), (inputs.Window, gradients.Window),
        })
        {
            Assert.InRange(GradientCheck.WorstDeviation(input, Loss, gradient), 0, 1e-8);
        }
    }
}
