using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Operations;

public sealed class EveryOperationTests
{
    private const string Namespace = "GatedFwa.Tensors.Operations";

    [Fact]
    public void Has_a_test_of_its_gradient() =>
        Assert.Empty(GradientTests.Missing(typeof(Tensor).Assembly, Namespace, typeof(EveryOperationTests).Assembly));

    [Fact]
    public void Is_found_and_would_be_missed()
    {
        string[] names = [.. GradientTests.Operations(typeof(Tensor).Assembly, Namespace).Select(operation => operation.Name)];
        Assert.Superset(
            new HashSet<string>(["Add", "Embedding", "Linear", "LinearCrossEntropy", "MatMul", "Reduce", "RmsNorm", "Rotary", "SwiGlu", "TokenShift", "Dropout"]),
            new HashSet<string>(names));
        // An assembly without tests misses all of them.
        Assert.Equal(names, GradientTests.Missing(typeof(Tensor).Assembly, Namespace, typeof(GradientTests).Assembly));
    }
}
