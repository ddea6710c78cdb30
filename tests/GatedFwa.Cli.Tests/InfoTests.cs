using System.Text.Json;

namespace GatedFwa.Cli.Tests;

public sealed class InfoTests : CommandTest
{
    [Fact]
    public void The_machine_is_described_in_words()
    {
        string output = Succeeded(Run("info"));

        Assert.Contains("vector unit", output);
        Assert.Contains($"threads            {Environment.ProcessorCount}", output);
        Assert.Contains("not in this build", output);
    }

    [Fact]
    public void The_machine_is_described_for_programs()
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("info", "--json", "--peak")));
        JsonElement machine = document.RootElement.GetProperty("machine");

        Assert.Contains(machine.GetProperty("simd_width").GetInt32(), (int[])[4, 8, 16]);
        Assert.False(document.RootElement.GetProperty("cuda").GetProperty("available").GetBoolean());
        JsonElement peak = document.RootElement.GetProperty("peaks")[0];
        Assert.InRange(peak.GetProperty("fma_gigaflops").GetDouble(), 0.1, 10_000);
        Assert.InRange(peak.GetProperty("read_gigabytes_per_second").GetDouble(), 0.1, 10_000);
    }
}
