using GatedFwa.Attention;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

public sealed class EveryOperationTests
{
    [Fact]
    public void Has_a_test_of_its_gradient()
    {
        Assert.Contains(typeof(DecayGate), GradientTests.Operations(typeof(DecayGate).Assembly, "GatedFwa.Attention"));
        // RingDecode refuses a tape that records.
        Assert.Equal(
            [nameof(RingDecode)],
            GradientTests.Missing(typeof(DecayGate).Assembly, "GatedFwa.Attention", typeof(EveryOperationTests).Assembly));
    }
}
