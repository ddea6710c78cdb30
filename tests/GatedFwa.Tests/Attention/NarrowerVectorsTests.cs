using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

public sealed class NarrowerVectorsTests
{
    [Theory]
    [InlineData("DOTNET_EnableAVX512", 8)]
    [InlineData("DOTNET_EnableAVX2", 4)]
    public void The_kernels_pass_their_tests_with_narrower_vectors(string setting, int width) =>
        NarrowerProcess.Run(setting, width, "GatedFwa.Tests.Attention");
}
